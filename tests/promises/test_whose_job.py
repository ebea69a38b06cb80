"""A job knows whose it is: another agent under its name, and changed code, are said once."""

from __future__ import annotations

import sqlite3
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.promises.support import agent_of, out

from perdure import Agent, InputEvent, LocalEngine, action
from perdure.agent.loading import load_file
from perdure.agent.own_source import source_digest
from perdure.engine.plan_of import AnyAgent, plan_of
from perdure.yaml_agent.load import AgentFile

NAMES = ("changing", "moved", "typed_in")


class Greeter(Agent):
    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: Any) -> None:
        out(ctx, f"hello {event.input['k']}")


class Teller(Agent):
    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: Any) -> None:
        out(ctx, f"goodbye {event.input['k']}")


async def goes(event: Any, ctx: Any) -> None:
    out(ctx, event.input["k"])


first_agent = agent_of(goes)
second_agent = agent_of(goes)


def made_agent() -> Agent:
    return agent_of(goes)


TEXT = """
from perdure import Agent, InputEvent, OutputEvent, action

class Changing(Agent):
    @action(InputEvent)
    async def go(self, event, ctx):
        ctx.send_event(OutputEvent(output="before"))
"""


@pytest.fixture(autouse=True)
def _forgotten_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for name in NAMES:
        sys.modules.pop(name, None)


def changing(folder: Path, text: str, name: str = "changing") -> type[Agent]:
    """Return the agent of a file with this text, as a process does that loads it."""
    path = folder / f"{name}.py"
    path.write_bytes(text.encode())
    sys.modules.pop(name, None)
    agent: type[Agent] = load_file(str(path)).Changing
    return agent


def typed_in(text: str) -> type[Agent]:
    """Return the agent of a module that has no file."""
    module = types.ModuleType("typed_in")
    sys.modules["typed_in"] = module
    exec(text, vars(module))
    agent: type[Agent] = module.Changing
    return agent


class Job:
    """A job that is opened again and again; says what each opening warns of."""

    def __init__(self, store: str, caplog: pytest.LogCaptureFixture) -> None:
        self.engine = LocalEngine(store, job="greetings")
        self._caplog = caplog
        self._inputs: list[dict[str, str]] = []

    def warns(self, agent: AnyAgent) -> list[str]:
        """Run the agent over one input more; return what was logged."""
        self._caplog.clear()
        self._inputs.append({"k": f"k{len(self._inputs)}"})
        assert len(self.engine.run(agent, self._inputs, key="k")) == len(self._inputs)
        return [record.getMessage() for record in self._caplog.records]


@pytest.fixture
def job(store: str, caplog: pytest.LogCaptureFixture) -> Job:
    return Job(store, caplog)


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        (Greeter, Teller, ("Greeter", "Teller")),
        (Greeter(), Teller(), ("Greeter", "Teller")),
        (first_agent, second_agent, ("first_agent", "second_agent")),
        (made_agent, first_agent, ("made_agent", "first_agent")),
        (
            lambda: agent_of(goes),
            lambda: Agent().add_action("other", InputEvent, goes),
            ("Agent of go", "Agent of other"),
        ),
    ],
    ids=["classes", "instances", "variables", "factory", "actions"],
)
def test_another_agent_is_named_with_the_one_before(
    job: Job, one: Any, other: Any, names: tuple[str, str]
) -> None:
    """Once, when it comes; and when the first comes back."""
    assert job.warns(one) == []
    assert job.warns(one) == []
    for before, now in (names, names[::-1]):
        agent = one if now == names[0] else other
        (said,) = job.warns(agent)
        assert f"'greetings' was agent {before}'s and is now run by agent {now}" in said
        assert "--job" in said
        assert job.warns(agent) == []


def test_changed_code_is_said_once(job: Job, tmp_path: Path) -> None:
    changed = TEXT.replace("before", "after")
    assert job.warns(changing(tmp_path, TEXT)) == []
    assert job.warns(changing(tmp_path, TEXT)) == []
    (said,) = job.warns(changing(tmp_path, changed))
    assert "'greetings': the code of agent Changing has changed" in said
    assert job.warns(changing(tmp_path, changed)) == []
    assert len(job.warns(changing(tmp_path, TEXT))) == 1


def test_code_that_only_moved_or_ends_its_lines_otherwise_has_not_changed(
    job: Job, tmp_path: Path
) -> None:
    assert job.warns(changing(tmp_path, TEXT)) == []
    assert job.warns(changing(tmp_path, TEXT, "moved")) == []
    assert job.warns(changing(tmp_path, TEXT.replace("\n", "\r\n"))) == []


def test_code_without_source_says_nothing_and_hides_no_change(job: Job, tmp_path: Path) -> None:
    assert job.warns(typed_in(TEXT)) == []
    assert job.warns(changing(tmp_path, TEXT)) == []
    assert job.warns(typed_in(TEXT.replace("before", "other"))) == []
    assert job.warns(changing(tmp_path, TEXT)) == []
    assert len(job.warns(changing(tmp_path, TEXT.replace("before", "after")))) == 1


def test_a_job_of_an_older_version_says_nothing(
    sqlite: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It has no record of its agent; it gets one."""
    job = Job(sqlite, caplog)
    assert job.warns(Greeter) == []
    store = sqlite3.connect(sqlite.removeprefix("sqlite:///"))
    with store:
        assert store.execute("DELETE FROM file WHERE kind = 'agent'").rowcount == 1
    store.close()
    assert job.warns(Teller) == []
    assert len(job.warns(Greeter)) == 1


def test_changed_code_is_said_with_nothing_run(
    tmp_path: Path, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What a newcomer meets who edits an agent and runs the script again."""
    engine = LocalEngine(store)
    engine.run(changing(tmp_path, TEXT), [{"k": "a"}], key="k")
    (output,) = engine.run(
        changing(tmp_path, TEXT.replace("before", "after")), [{"k": "a"}], key="k"
    )
    assert output.value == "before"
    assert [record.getMessage().split(": ")[1][:20] for record in caplog.records] == [
        "the code of agent Ch",
        "nothing was run",
    ]


def test_an_agent_of_a_yaml_file_has_its_name_and_its_text(job: Job, tmp_path: Path) -> None:
    text = f"agents:\n- name: NAME\n  actions:\n  - name: go\n    function: {__name__}:goes\n"
    text += "    trigger_conditions: [input]\n"

    def agent(name: str, more: str = "") -> Agent:
        path = tmp_path / "agents.yaml"
        path.write_text(text.replace("NAME", name) + more, "utf-8")
        return AgentFile.read(path).agent()

    assert job.warns(agent("one")) == []
    assert job.warns(agent("one")) == []
    (said,) = job.warns(agent("one", "# another\n"))
    assert "the code of agent one has changed" in said
    (said,) = job.warns(agent("two"))
    assert "was agent one's and is now run by agent two" in said


def test_a_digest_needs_the_source_of_every_module(tmp_path: Path) -> None:
    changing(tmp_path, TEXT)
    changing(tmp_path, TEXT + "\n", "moved")
    typed_in(TEXT)
    one, other = source_digest(["changing"]), source_digest(["moved"])
    assert len({"", one, other, source_digest(["moved", "changing"])}) == 4
    assert source_digest(["changing", "moved"]) == source_digest(["moved", "changing"])
    assert source_digest(["changing", "typed_in"]) == source_digest([]) == ""
    assert source_digest(["changing", "no_such_module"]) == ""
    (tmp_path / "changing.py").unlink()
    assert source_digest(["changing"]) == ""


def test_a_module_in_an_archive_has_a_digest(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "agents.zip", "w") as archive:
        archive.writestr("moved.py", TEXT)
    changing(tmp_path, TEXT)
    sys.path.insert(0, str(tmp_path / "agents.zip"))
    import moved  # type: ignore[import-not-found]

    assert source_digest(["moved"]) == source_digest(["changing"]) != ""
    assert plan_of(moved.Changing, LocalEngine("memory://").config).known_as == "Changing"
