"""Names that modules had before, and names that documents give, go on leading to them."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.architecture import modules

from perdure import Prompt, ResourceDescriptor, moved

PROJECT = Path(__file__).parents[1]
PAGES = [
    PROJECT / "README.md",
    PROJECT / "CHANGELOG.md",
    *sorted(PROJECT.glob("docs/*.md")),
    *sorted(PROJECT.glob("examples/**/*.*")),
]

# What pages have named, and may name no more.
ONCE_NAMED = [
    "chat_model.BaseChatModelSetup",
    "document.parse_filters",
    "embedding_model.BaseEmbeddingModelSetup",
    "prompts.Prompt",
    "vector_stores.VectorStore",
]
_PATH = re.compile(r"(?<![\w./-])perdure((?:\.[A-Za-z_]\w*)+)")
_IMPORT = re.compile(r"^ *from perdure\.([\w.]+) import \(?([\w, \n]+?)\)?$", re.MULTILINE)
# Loggers and files that are called like modules.
_OTHERS = re.compile(r"perdure\.(db|mcp|run|action)\b")


def named_in(text: str) -> Iterator[str]:
    """The dotted names below perdure that a page's text has."""
    for found in _PATH.finditer(text):
        if not _OTHERS.match(found[0]):
            yield found[1][1:]
    for found in _IMPORT.finditer(text):
        yield from (f"{found[1]}.{name}" for name in re.findall(r"\w+", found[2]))


def value_of(name: str) -> object:
    """What a dotted name below perdure means, looked up as an import would."""
    parts = name.split(".")
    for count in range(len(parts), -1, -1):
        try:
            found = importlib.import_module(".".join(["perdure", *parts[:count]]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


PATHS = sorted({
    name
    for page in PAGES
    if page.is_file() and page.suffix in (".md", ".py", ".yaml", ".yml", ".toml")
    for name in named_in(page.read_text("utf-8"))
})  # fmt: skip


@pytest.mark.parametrize("name", [*PATHS, *ONCE_NAMED])
def test_every_path_that_a_page_names_is_importable(name: str) -> None:
    assert value_of(name) is not None


def test_the_pages_name_paths() -> None:
    assert {"integrations.llm.ChatConnection", "testing.ScriptedChatModel"} <= set(PATHS)


@pytest.mark.parametrize("old", moved.MODULES)
def test_an_old_name_gives_the_very_same_module(old: str) -> None:
    present = importlib.import_module(f"perdure.{moved.MODULES[old]}")
    assert importlib.import_module(f"perdure.{old}") is present
    assert present.__name__ == f"perdure.{moved.MODULES[old]}"
    assert present.__spec__ is not None
    assert present.__spec__.name == present.__name__
    assert old not in modules(), "an old name is also a present one"


@pytest.mark.parametrize("package", moved.PACKAGES)
def test_a_package_gives_what_the_module_of_its_name_gave(package: str) -> None:
    found = importlib.import_module(f"perdure.{package}")
    present = importlib.import_module(f"perdure.{moved.PACKAGES[package]}")
    assert present.__all__
    for name in present.__all__:
        assert getattr(found, name) is getattr(present, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = found.nothing


def test_an_old_name_works_in_a_descriptor() -> None:
    made = ResourceDescriptor("perdure.prompts.Prompt", {"template": "x"}).make("here")
    assert type(made) is Prompt


def test_an_old_name_works_before_the_present_one_is_loaded() -> None:
    program = (
        "import json, sys\n"
        "from perdure.tools import Tool\n"
        "import perdure.message\n"
        "from perdure.config import Configuration\n"
        "from perdure.llm import message\n"
        "print(json.dumps([Tool.__module__, Configuration.__module__,"
        " perdure.message is message]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == ["perdure.llm.tool", "perdure.config.configuration", True]


def test_what_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'perdure\.mesage'"):
        importlib.import_module("perdure.mesage")
