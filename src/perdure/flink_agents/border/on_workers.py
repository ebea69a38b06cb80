"""What workers of a cluster import as `flink_agents`, in functions that are not ours."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any, Final

from perdure.engine.flink.settings import is_local

__all__ = ["send_names"]

_MODULE: Final = '''\
"""Makes `flink_agents` mean `perdure.flink_agents` on a worker of Flink."""

import sys

del sys.modules[__name__]  # it gives way to what it stands for
import perdure.flink_agents

perdure.flink_agents.install()
'''


def send_names(env: Any) -> None:
    """Have workers of a cluster find `flink_agents`; those of a mini cluster are this process."""
    if not is_local(env):
        env.add_python_file(str(Path(_folder().name) / "flink_agents.py"))


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return the folder of the module, which is there until this process ends."""
    folder = tempfile.TemporaryDirectory(prefix="perdure-flink-agents-")
    (Path(folder.name) / "flink_agents.py").write_text(_MODULE, "utf-8")
    return folder
