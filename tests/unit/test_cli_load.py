"""Which agent `MODULE_OR_FILE:AGENT` names."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure import Agent, ConfigurationError
from perdure.cli.load import load_agent
from perdure.codec.identity import function_identity

AGENT = """
from perdure import Agent, InputEvent, action

def helper(x):
    return x

class Reviews(Agent):
    @action(InputEvent)
    async def analyse(self, event, ctx):
        pass

agent = Reviews()
alias = agent
make = lambda: Reviews()
number = 3
"""


@pytest.fixture(autouse=True)
def _own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the modules that a test loads, and the folders that it puts on the path."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(textwrap.dedent(text), "utf-8")
    return path


def refusal(target: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_agent(target)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("attribute", ["agent", "Reviews", "make"])
def test_an_instance_a_class_and_a_factory_are_agents(tmp_path: Path, attribute: str) -> None:
    file = write(tmp_path / "shop_agent.py", AGENT)
    loaded = load_agent(f"{file}:{attribute}")
    assert (loaded.name, loaded.former) == (f"shop_agent.{attribute}", "shop_agent")
    assert loaded.agent is getattr(sys.modules["shop_agent"], attribute)


def test_functions_of_a_file_are_named_by_its_stem(tmp_path: Path) -> None:
    file = write(tmp_path / "shop_agent.py", AGENT)
    load_agent(f"{file}:agent")
    assert function_identity(sys.modules["shop_agent"].helper) == "shop_agent:helper"


def test_a_file_finds_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "neighbour_module.py", "VALUE = 5\n")
    file = write(tmp_path / "sub" / "shop_agent.py", "import neighbour_module\n" + AGENT)
    load_agent(f"{file}:agent")
    assert sys.path[0] == str(tmp_path / "sub")


def test_a_module_is_found_in_the_current_folder(tmp_path: Path) -> None:
    write(tmp_path / "shop_package" / "__init__.py", "")
    write(tmp_path / "shop_package" / "agents.py", AGENT)
    loaded = load_agent("shop_package.agents:agent")
    assert (loaded.name, loaded.former) == ("agents.agent", "agents")
    assert isinstance(loaded.agent, Agent)


def test_a_relative_path_and_a_second_load_give_the_same_agent(tmp_path: Path) -> None:
    write(tmp_path / "shop_agent.py", AGENT)
    assert load_agent("shop_agent.py:agent").agent is load_agent("./shop_agent.py:agent").agent


def test_without_a_name_the_only_instance_is_meant(tmp_path: Path) -> None:
    write(tmp_path / "shop_agent.py", AGENT)
    loaded = load_agent("shop_agent.py")
    assert loaded.agent is sys.modules["shop_agent"].agent
    assert loaded.name == "shop_agent.agent"


def test_without_an_instance_the_only_class_is_meant(tmp_path: Path) -> None:
    write(tmp_path / "shop_agent.py", AGENT.partition("agent = ")[0])
    loaded = load_agent("shop_agent.py")
    assert loaded.agent is sys.modules["shop_agent"].Reviews
    assert loaded.name == "shop_agent.Reviews"


def test_several_agents_are_listed(tmp_path: Path) -> None:
    write(tmp_path / "shop_agent.py", AGENT + "other = Reviews()\n")
    message = refusal("shop_agent.py")
    assert "several agents" in message
    assert "choose agent, alias, other or Reviews" in message


def test_a_module_without_agents_says_so(tmp_path: Path) -> None:
    write(tmp_path / "shop_agent.py", "from perdure import Agent\n")
    assert "has no Agent" in refusal("shop_agent.py")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("shop_agent.py:agnet", "shop_agent.py has no 'agnet': did you mean agent?"),
        ("shop_agent.py:zzz", "choose agent, alias or Reviews"),
        ("shop_agent.py:number", "is a int, not an Agent"),
        ("shop_agnt.py:agent", "there is no file shop_agnt.py: did you mean shop_agent.py?"),
        ("nowhere/shop_agent.py:agent", "its folder nowhere does not exist"),
        ("./:agent", "is a folder"),
        ("shop_agnt:agent", "there is no module 'shop_agnt': did you mean shop_agent?"),
        ("shop_package.agent:agent", "there is no module 'shop_package.agent'"),
        ("shop_agent.py:", "write MODULE_OR_FILE:AGENT"),
        (":agent", "write MODULE_OR_FILE:AGENT"),
        (".", "write MODULE_OR_FILE:AGENT, such as agent.py:agent"),
        (".shop_agent:agent", "write MODULE_OR_FILE:AGENT"),
    ],
)
def test_a_wrong_target_is_explained(tmp_path: Path, target: str, expected: str) -> None:
    write(tmp_path / "shop_agent.py", AGENT)
    assert expected in refusal(target)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("x = 1\nraise ValueError('no key')", "shop_agent.py:2 does not load: ValueError: no key"),
        ("x = 1\ny = (", "shop_agent.py:2 does not load: SyntaxError"),
        ("import no_such_module_here", "shop_agent.py:1 does not load: ModuleNotFoundError"),
        ("import sys\nsys.exit(3)", "it ends the program when imported"),
        ("class Stop(BaseException): ...\nraise Stop('no')", "shop_agent.py:2 does not load: Stop"),
        ("from .x import y", "name it as a module"),
        (
            "from perdure import Agent, action\nclass A(Agent):\n  @action()\n  def f(e, c): ...",
            "shop_agent.py:3: @action names no trigger",
        ),
    ],
)
def test_code_that_does_not_load_is_placed(tmp_path: Path, code: str, expected: str) -> None:
    write(tmp_path / "shop_agent.py", code)
    assert expected in refusal("shop_agent.py:agent")
    assert "shop_agent" not in sys.modules
    with pytest.raises(ConfigurationError):
        load_agent("shop_agent:agent")


def test_ctrl_c_while_code_loads_is_none_of_its_errors(tmp_path: Path) -> None:
    write(tmp_path / "shop_agent.py", "raise KeyboardInterrupt")
    for target in ("shop_agent.py:agent", "shop_agent:agent"):
        with pytest.raises(KeyboardInterrupt):
            load_agent(target)


def test_a_broken_import_inside_a_module_is_not_taken_for_a_missing_module(tmp_path: Path) -> None:
    write(tmp_path / "shop_agent.py", "import no_such_module_here\n")
    assert "does not load: ModuleNotFoundError" in refusal("shop_agent:agent")


def test_a_file_must_not_hide_a_loaded_module(tmp_path: Path) -> None:
    write(tmp_path / "json.py", AGENT)
    assert "rename the file" in refusal("json.py:agent")
