"""The event loop of those who bring none (`event-loop`)."""

from __future__ import annotations

import asyncio
import builtins
import sys
from pathlib import Path
from typing import Any

import pytest

from perdure import Agent, InputEvent, LocalEngine, OutputEvent
from perdure.cli.main import main
from perdure.config.configuration import Configuration
from perdure.engine.event_loop import runner_of
from perdure.errors import ConfigurationError


async def loop_of_host() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


async def go(event: Any, ctx: Any) -> None:
    ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(loop_of_host)))


AGENT = Agent().add_action("go", [InputEvent], go)


def without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "uvloop":
            raise ModuleNotFoundError("No module named 'uvloop'")
        return importing(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


def loop_used(option: str | None) -> Any:
    config = {} if option is None else {"event-loop": option}
    [output] = LocalEngine("memory://", config=config).run(AGENT, [1], key=str)
    return output.value


@pytest.fixture(autouse=True)
def _as_users_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERDURE_EVENT_LOOP")


uvloop_only = pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop")


@uvloop_only
@pytest.mark.parametrize("option", [None, "auto", "uvloop"])
def test_uvloop_is_used_where_it_is_installed(option: str | None) -> None:
    assert loop_used(option) == "uvloop"


def test_asyncio_is_used_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.events, "new_event_loop", asyncio.SelectorEventLoop)
    assert loop_used("asyncio") == "asyncio"


def test_without_uvloop_auto_is_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.events, "new_event_loop", asyncio.SelectorEventLoop)
    without_uvloop(monkeypatch)
    assert loop_used(None) == "asyncio"


@pytest.mark.parametrize(
    ("platform", "advice"),
    [
        ("linux", "needs the extra `uvloop`: pip install 'perdure[uvloop]' (No module named"),
        ("win32", "there is no uvloop for Windows: set it to auto or asyncio"),
    ],
)
def test_uvloop_that_is_missing_is_named(
    platform: str, advice: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_uvloop(monkeypatch)
    monkeypatch.setattr(sys, "platform", platform)
    engine = LocalEngine(f"sqlite:///{tmp_path / 'new.db'}", config={"event-loop": "uvloop"})
    with pytest.raises(ConfigurationError) as raised:
        engine.run(AGENT, [1], key=str)
    assert str(raised.value).startswith(f"event-loop: uvloop{': ' if platform == 'win32' else ' '}")
    assert advice in str(raised.value)
    assert not list(tmp_path.iterdir())


@uvloop_only
@pytest.mark.parametrize("option", ["auto", "asyncio", "uvloop"])
def test_the_command_uses_it_too(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(asyncio.events, "new_event_loop", asyncio.SelectorEventLoop)
    assert run_command(tmp_path, option) == 0
    expected = "asyncio" if option == "asyncio" else "uvloop"
    assert capsys.readouterr().out == f'"{expected}"\n'


def test_the_command_says_in_one_line_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    without_uvloop(monkeypatch)
    assert run_command(tmp_path, "uvloop") != 0
    said = capsys.readouterr().err
    assert said.startswith("perdure: event-loop: uvloop needs the extra")
    assert said.count("\n") == 1


def run_command(folder: Path, option: str) -> int:
    (folder / "inputs.jsonl").write_text('{"k": 1}\n')
    return main(
        ["run", f"{__name__}:AGENT", "--input", str(folder / "inputs.jsonl"), "--key",
         "k", "--store", f"sqlite:///{folder / 'new.db'}", "--set", f"event-loop={option}", "-q"]
    )  # fmt: skip


def test_an_error_leaves_the_loop_as_it_was() -> None:
    async def fail() -> None:
        raise LookupError("wanted")

    with runner_of(Configuration.load(None)) as runner, pytest.raises(LookupError, match="wanted"):
        runner.run(fail())
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
