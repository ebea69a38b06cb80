"""How an agent is named for workers that import it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit import flink_agents
from tests.unit.flink_agents import Named, Plain, WithArguments, agent, make_agent

from perdure import Agent, AgentDefinitionError
from perdure.engine.flink.reference import load_agent, reference_to

HERE = "tests.unit.flink_agents"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Plain, f"{HERE}:Plain"),
        (Plain(), f"{HERE}:Plain"),
        (Named.Inner, f"{HERE}:Named.Inner"),
        (agent, f"{HERE}:agent"),
        (flink_agents.built, f"{HERE}:built"),
        (make_agent, f"{HERE}:make_agent"),
        (f"{HERE}:Plain", f"{HERE}:Plain"),
    ],
)
def test_a_reference_leads_to_the_agent(given: Any, expected: str) -> None:
    assert reference_to(given) == expected
    assert load_agent(expected) is not None


def refused(given: Any) -> str:
    with pytest.raises(AgentDefinitionError) as refusal:
        reference_to(given)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_class_inside_a_function_is_refused() -> None:
    class Local(Agent): ...

    expected = "is defined inside a function, where Flink's workers cannot import it: define it"
    assert expected in refused(Local)
    assert expected in refused(Local())
    assert expected in refused(lambda: Plain())


def test_an_instance_that_is_no_attribute_must_be_made_of_nothing() -> None:
    expected = f"make it at the top of {HERE} (agent = ...) and pass that attribute"
    assert expected in refused(WithArguments("a"))
    assert expected in refused(WithArguments)
    assert "(name, size)" in refused(WithArguments("a"))


def test_an_instance_with_more_than_its_constructor_makes_is_refused() -> None:
    changed = Plain()
    changed.extra = 1  # type: ignore[attr-defined]
    assert "has more than Plain() makes" in refused(changed)
    assert "make it at the top of a module" in refused(Agent())


def test_a_class_that_its_name_does_not_lead_to_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flink_agents, "Plain", type("Plain", (Agent,), {}))
    assert "is another object by now" in refused(Plain)


def test_a_module_that_cannot_be_imported_by_its_name_is_refused() -> None:
    made = type("Made", (Agent,), {"__module__": "nowhere_at_all"})
    assert "nowhere_at_all, which cannot be imported by that name" in refused(made)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("agents.py", "write 'module:attribute'"),
        ("folder/agents:Plain", "write 'module:attribute'"),
        (":Plain", "write 'module:attribute'"),
        ("nowhere_at_all:Plain", "cannot be imported (ModuleNotFoundError"),
        (f"{HERE}:Nothing", "has no attribute 'Nothing'"),
    ],
)
def test_a_text_that_leads_nowhere_is_refused(text: str, expected: str) -> None:
    assert expected in refused(text)


def test_what_is_no_agent_is_refused() -> None:
    assert refused(7).startswith("7 is no agent")


@pytest.mark.parametrize(
    ("before", "place"), [("", "__main__, the program itself"), ("ipykernel", "a notebook")]
)
def test_an_agent_of_the_program_itself_is_refused(tmp_path: Path, before: str, place: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        f"sys.modules[{before!r} or 'nothing'] = sys\n"
        "from perdure import Agent\n"
        "from perdure.engine.flink.reference import reference_to\n"
        "class Mine(Agent): ...\n"
        "mine = Mine()\n"
        "for each in (Mine, mine, lambda: mine):\n"
        "    try:\n"
        "        reference_to(each)\n"
        "    except Exception as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert f"is defined in {place}, which Flink's workers cannot import: put it into" in line
