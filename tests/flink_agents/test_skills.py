"""Agent Skills of chat models: what they are told, `load_skill`, and `bash`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from flink_agents.api.agents.agent import Agent
from flink_agents.api.agents.react_agent import ReActAgent
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection
from flink_agents.api.decorators import action, chat_model_connection, chat_model_setup, skills
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.resource import Resource, ResourceDescriptor, ResourceType
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.skills import Skills
from flink_agents.api.tools.tool import Tool
from pydantic import PrivateAttr
from tests.flink_agents.models import HERE, EchoSetup
from tests.promises.support import crash_and_resume, hold, reset
from tests.unit.skill_files import skill

from perdure.errors import AgentDefinitionError, ConfigurationError
from perdure.flink_agents.border.compiled import compiled
from perdure.flink_agents.plan.configuration import AgentConfiguration

ME = "tests.flink_agents.test_skills"
SCRIPT = "#!/bin/sh\necho Good day, $1.\n"


class ScriptedConnection(BaseChatModelConnection):
    """Has calls made, one a request, and then says what came of them."""

    requests: ClassVar[list[tuple[list[ChatMessage], list[Tool]]]] = []

    calls: list[tuple[str, dict[str, Any]]]

    def chat(
        self, messages: Sequence[ChatMessage], tools: list[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        self.requests.append((list(messages), list(tools or ())))
        said = [each.content for each in messages if each.role == MessageRole.TOOL]
        if len(said) == len(self.calls):
            return ChatMessage.assistant("\n====\n".join(said))
        name, arguments = self.calls[len(said)]
        call = {"id": f"c{len(said)}", "function": {"name": name, "arguments": arguments}}
        return ChatMessage.assistant("", tool_calls=[call])


@pytest.fixture(autouse=True)
def _nothing_said() -> None:
    reset()
    ScriptedConnection.requests.clear()


def connection(*calls: tuple[str, dict[str, Any]]) -> ResourceDescriptor:
    return ResourceDescriptor(clazz=f"{ME}.ScriptedConnection", calls=list(calls))


class Asking(Agent):
    """Asks `model`, and outputs what it says."""

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def ask(event: Event, ctx: RunnerContext) -> None:
        messages = [ChatMessage.system("be kind"), ChatMessage.user("go")]
        ctx.send_event(ChatRequestEvent(model="model", messages=messages))

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    def answer(event: Event, ctx: RunnerContext) -> None:
        response = ChatResponseEvent.from_event(event).response
        ctx.send_event(OutputEvent(output=response.content))


def asking(root: Path, *calls: tuple[str, dict[str, Any]], **options: Any) -> Agent:
    described = {
        "clazz": f"{HERE}.EchoSetup", "connection": "connection", "skills": ["pdf"], **options
    }  # fmt: skip
    agent = Asking()
    agent.add_resource("kit", ResourceType.SKILLS, Skills.from_local_dir(str(root)))
    agent.add_resource("connection", ResourceType.CHAT_MODEL_CONNECTION, connection(*calls))
    agent.add_resource("model", ResourceType.CHAT_MODEL, ResourceDescriptor(**described))
    return agent


def run(agent: Any, store: str = "memory://", **resources: Any) -> Any:
    env = AgentsExecutionEnvironment.get_execution_environment(store=store, job="skills")
    outputs = env.from_list([{"key": "k", "value": "go"}]).apply(agent).to_list()
    env.execute()
    return outputs[0]["k"]


def said(root: Path, *calls: tuple[str, dict[str, Any]], **options: Any) -> list[str]:
    return str(run(asking(root, *calls, **options))).split("\n====\n")


def test_a_model_loads_a_skill_and_runs_its_script(tmp_path: Path, store: str) -> None:
    folder = skill(tmp_path)
    (folder / "greet.sh").write_text(SCRIPT)
    (folder / "greet.sh").chmod(0o755)
    agent = asking(
        tmp_path,
        ("load_skill", {"name": "pdf"}),
        ("load_skill", {"name": "pdf", "path": "notes.md"}),
        ("bash", {"command": "./greet.sh Ada", "cwd": str(folder)}),
        ("bash", {"command": "echo 'a b' && echo c"}),
        allowed_commands=["echo"],
        allowed_script_dirs=[str(folder)],
    )

    found = run(agent, store).split("\n====\n")

    assert found[0].startswith(f"Base folder: {folder}\n")
    assert found[0].endswith("Do it.")
    assert found[1] == "Notes."
    assert found[2] == "Exit code: 0\nStdout:\nGood day, Ada.\n"
    assert found[3] == "Exit code: 0\nStdout:\na b\nc\n"
    requests = len(ScriptedConnection.requests)
    assert requests == 5
    if store != "memory://":
        assert run(agent, store).split("\n====\n") == found
        assert len(ScriptedConnection.requests) == requests


def test_the_model_is_told_of_its_skills_after_the_first_system_message(tmp_path: Path) -> None:
    skill(tmp_path, description="Reads <b>PDFs</b>.")
    skill(tmp_path, "csv")
    said(tmp_path)
    ((messages, tools),) = ScriptedConnection.requests
    assert [each.role for each in messages] == [
        MessageRole.SYSTEM, MessageRole.SYSTEM, MessageRole.USER,
    ]  # fmt: skip
    assert messages[0].content == "be kind"
    assert "<name>pdf</name><description>Reads &lt;b&gt;" in messages[1].content
    assert "csv" not in messages[1].content
    assert [each.name for each in tools] == ["load_skill"]
    assert tools[0].metadata.get_parameters_dict()["required"] == ["name"]


def test_what_is_refused_is_told_to_the_model(tmp_path: Path) -> None:
    skill(tmp_path)
    found = said(
        tmp_path,
        ("load_skill", {"name": "fdp"}),
        ("load_skill", {"name": "pdf", "path": "../../etc/passwd"}),
        ("load_skill", {}),
        ("bash", {"command": "ls; rm x"}),
        ("bash", {"command": "ls $HOME"}),
        ("bash", {"command": "ls", "cwd": "/"}),
        allowed_commands=["ls"],
    )
    for text, expected in zip(
        found,
        ["there is no skill 'fdp'; there are: pdf", "has no file", "name: it is missing",
         "'rm' may not be run", "the command was not run", "is no folder of a skill"],
        strict=True,
    ):  # fmt: skip
        assert expected in text


def test_without_allowed_commands_there_is_no_bash(tmp_path: Path) -> None:
    skill(tmp_path)
    assert said(tmp_path, ("bash", {"command": "ls"})) == ["Tool `bash` does not exist."]


class Watching(Resource):
    """Keeps what a resource is told of skills."""

    seen: ClassVar[list[Any]] = []
    _kept: Any = PrivateAttr(default=None)

    @classmethod
    def resource_type(cls) -> ResourceType:
        return ResourceType.VECTOR_STORE

    def open(self) -> None:
        context = self.resource_context
        assert context is not None
        self.seen.append(context.generate_available_skills_prompt("pdf"))
        self.seen.append(context.get_skill_dirs("pdf"))
        self.seen.append(context.get_resource("kit", ResourceType.SKILLS))
        self.seen.append(context.generate_available_skills_prompt())


def test_a_resource_is_told_of_skills(tmp_path: Path) -> None:
    folder = skill(tmp_path)
    agent = asking(tmp_path)
    agent.add_resource("w", ResourceType.VECTOR_STORE, ResourceDescriptor(clazz=Watching))
    run(agent)
    prompt, folders, kit, nothing = Watching.seen
    assert "<name>pdf</name>" in prompt
    assert folders == [str(folder)]
    assert kit is agent.resources[ResourceType.SKILLS]["kit"]
    assert nothing == ""


def test_a_react_agent_has_skills_of_the_environment(tmp_path: Path) -> None:
    skill(tmp_path)
    env = AgentsExecutionEnvironment.get_execution_environment()
    env.add_resource("kit", ResourceType.SKILLS, Skills.from_local_dir(str(tmp_path)))
    calls = connection(("load_skill", {"name": "pdf"}))
    env.add_resource("connection", ResourceType.CHAT_MODEL_CONNECTION, calls)
    setup = ResourceDescriptor(clazz=f"{HERE}.EchoSetup", connection="connection", skills=["pdf"])
    outputs = env.from_list([{"key": "k", "value": "go"}]).apply(ReActAgent(chat_model=setup))
    found = outputs.to_list()
    env.execute()
    assert "Do it." in found[0]["k"]


YAML = """
agents:
  - name: asking
    actions:
      - {{name: ask, function: {me}:Asking.ask, trigger_conditions: [input]}}
      - {{name: answer, function: {me}:Asking.answer, trigger_conditions: [chat_response]}}
    chat_model_setups:
      - name: model
        clazz: {here}.EchoSetup
        connection: connection
        skills: [pdf]
        allowed_commands: [echo]
    chat_model_connections:
      - name: connection
        clazz: {me}.ScriptedConnection
        calls: [[bash, {{command: echo x}}], [load_skill, {{name: pdf}}]]
    skills:
      - name: kit
        {source}
"""


def loaded(folder: Path, source: str) -> Any:
    file = folder / "agent.yaml"
    file.write_text(YAML.format(me=ME, here=HERE, source=source))
    env = AgentsExecutionEnvironment.get_execution_environment()
    outputs = env.load_yaml(file).from_list([{"key": "k", "value": "go"}]).apply("asking").to_list()
    env.execute()
    return outputs[0]["k"]


def test_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skill(tmp_path / "some")
    found = loaded(tmp_path, f"paths: [{tmp_path / 'some'}]")
    assert found.startswith("Exit code: 0\nStdout:\nx\n")
    assert found.endswith("Do it.")

    package = tmp_path / "skilled_package"
    skill(package / "kits")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert loaded(tmp_path, "package: [{package: skilled_package, resource: kits}]") == (
        found.replace(str(tmp_path / "some"), str(package / "kits"))
    )
    sys.modules.pop("skilled_package", None)

    with pytest.raises(ConfigurationError, match=r"not fetched from https://x/y\.zip: download"):
        loaded(tmp_path, "urls: ['https://x/y.zip']")
    with pytest.raises(AgentDefinitionError, match="there is no scheme 'classpath'"):
        loaded(tmp_path, "classpath: [skills]")


def test_what_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    skill(tmp_path)
    for options, text in [
        ({"skills": ["pfd"]}, "there is no skill 'pfd'; there are: pdf"),
        ({"allowed_commands": ["/bin/ls"]}, "chat model 'model': .* write bare names"),
        ({"allowed_script_dirs": ["/no/such"]}, "there is no such folder"),
    ]:
        with pytest.raises(ConfigurationError, match=text):
            run(asking(tmp_path, **options))
    agent = asking(tmp_path, tools=["load_skill"])

    def load_skill() -> None:
        """Mine."""

    agent.add_resource("load_skill", ResourceType.TOOL, Tool.from_callable(load_skill))
    with pytest.raises(ConfigurationError, match="two tools of a chat model are called"):
        run(agent)


def test_a_setup_is_opened_again_by_the_next_job(tmp_path: Path) -> None:
    skill(tmp_path)

    class Kept(Asking):
        @skills
        @staticmethod
        def kit() -> Skills:
            return Skills.from_local_dir(str(tmp_path))

        @chat_model_connection
        @staticmethod
        def connection() -> ResourceDescriptor:
            return connection(("load_skill", {"name": "pdf"}))

        @chat_model_setup
        @staticmethod
        def model() -> Any:
            return SETUP

    SETUP = EchoSetup(connection="connection", skills=["pdf"])
    assert "Do it." in run(Kept())
    assert SETUP.tools == []
    assert "Do it." in run(Kept())


class HeldSetup(EchoSetup):
    """Hangs when the model has answered, in the first leg."""

    async def chat(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        found = super().chat(*args, **kwargs)
        await hold()
        return found


def test_g2_an_edited_skill_breaks_no_replay(tmp_path: Path, store: str) -> None:
    skill(tmp_path)
    agent = asking(tmp_path, ("load_skill", {"name": "pdf"}), clazz=f"{ME}.HeldSetup")

    def edit() -> None:
        skill(tmp_path, description="Another one.", body="Do something else.")

    made = compiled(agent, AgentConfiguration())
    (found,) = crash_and_resume(made, ["go"], store=store, down=edit, key=str)

    assert found.endswith("Do something else.")
    told = [messages[1].content for messages, _ in ScriptedConnection.requests]
    assert ["Another one." in each for each in told] == [False, True, True]
