"""docs/configuration.md says what the code says."""

from __future__ import annotations

import runpy
from pathlib import Path

from perdure.config.configuration import all_options

DOCS = Path(__file__).parents[2] / "docs"


def test_page_is_up_to_date() -> None:
    render = runpy.run_path(str(DOCS / "write_configuration.py"))["render"]
    page = (DOCS / "configuration.md").read_text("utf-8")
    assert page == render(), "run `make docs`"
    assert all(f"`{option.name}`" in page for option in all_options())
