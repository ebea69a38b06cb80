"""Skills of chat models: what a model is told, `load_skill`, and commands without a shell."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.promises.chat_support import BOTH, ByEvents, model, said_by_tools
from tests.promises.legs import until
from tests.promises.support import ONE, crash_and_resume, hold, run
from tests.unit.skill_files import lay, skill

from perdure import ConfigurationError, ReActAgent, ResourceType, Skills
from perdure.errors import ToolArgumentsError
from perdure.llm.message import ChatMessage, MessageRole, ToolCall
from perdure.llm.skills.tools import SkillTools
from perdure.llm.tool import Tool
from perdure.testing.scripted_chat import ScriptedChatModel

_numbers = itertools.count()


def call(tool: str, /, **arguments: Any) -> list[ToolCall]:
    return [ToolCall(id=f"c{next(_numbers)}", name=tool, arguments=arguments)]


def scripted(*calls: list[ToolCall]) -> ScriptedChatModel:
    """Return a model that has these calls made, and then says what came of them."""

    def answer(messages: Any, tools: Any) -> Any:
        said = said_by_tools(messages)
        return calls[len(said)] if len(said) < len(calls) else "\n====\n".join(said)

    return ScriptedChatModel(answer)


def said(root: Path, *calls: list[ToolCall], store: str = "memory://", **options: Any) -> list[str]:
    """Return what the tools of a model with the skills in a folder say."""
    setup = model(connection=scripted(*calls), skills=Skills.from_local_dir(root), **options)
    return str(run(ByEvents(setup), ONE, store=store)[0]).split("\n====\n")


# What a model is told


@pytest.mark.parametrize("messages", [["hi"], [ChatMessage.system("Be kind."), "hi"]])
def test_names_and_descriptions_follow_the_first_system_message(
    messages: Any, tmp_path: Path
) -> None:
    skill(tmp_path, description="Reads <b>PDFs</b>.")
    skill(tmp_path, "csv")
    setup = model(
        skills="pdf", output_schema={"type": "object"}, output_mode="prompted", script=["{}"]
    )
    agent = ByEvents(setup)
    agent.add_resource("kit", ResourceType.SKILLS, Skills.from_local_dir(tmp_path))
    run(agent, [{"k": "a", "messages": messages}])
    (request,) = setup.connection.requests
    systems = [each.content for each in request.messages if each.role is MessageRole.SYSTEM]
    told = systems[1]  # the first is the agent's, or what is said about the schema
    assert "<name>pdf</name><description>Reads &lt;b&gt;PDFs&lt;/b&gt;.</description>" in told
    assert "csv" not in told
    assert [each.name for each in request.tools] == ["load_skill"]
    assert len(systems) == len(messages) + 1


def test_a_fallback_is_told_of_the_skills_too(tmp_path: Path) -> None:
    skill(tmp_path)

    def fails(messages: Any, tools: Any) -> Any:
        raise OSError("down")

    second = model()
    setup = model(fails, skills=Skills.from_local_dir(tmp_path), fallbacks=[second])
    assert run(ByEvents(setup), ONE) == ["hello"]
    assert "<name>pdf</name>" in second.connection.requests[0].messages[0].content


def test_a_react_agent_has_skills(tmp_path: Path) -> None:
    skill(tmp_path)
    connection = scripted(call("load_skill", name="pdf"))
    agent = ReActAgent(chat_model=connection, skills=[Skills.from_local_dir(tmp_path)])
    assert "Do it." in run(agent, [{"input": "go"}], key="input")[0]


def test_what_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    skill(tmp_path)
    kit = Skills.from_local_dir(tmp_path)

    async def load_skill() -> None: ...

    for options, text in [
        ({"skills": ["pfd"]}, "there is no skill 'pfd'; there are: none"),
        ({"skills": kit, "allowed_commands": ["/bin/ls"]}, "write bare names"),
        ({"skills": kit, "allowed_commands": ["ls -l"]}, "write bare names"),
        ({"skills": kit, "allowed_script_dirs": ["/no/such"]}, "there is no such folder"),
        ({"allowed_commands": ["ls"]}, "no folder to run in"),
        ({"skills": kit, "tool_options": {"bash": {}}}, "it has the tools load_skill"),
        ({"skills": kit, "tool_options": {"load_skill": {"x": 1}}}, "unexpected keyword"),
        ({"skills": kit, "tools": [Tool(load_skill, name="load_skill")]}, "two of its tools"),
    ]:
        with pytest.raises(ConfigurationError, match=text):
            run(ByEvents(model(**options)), ONE)


# load_skill


def test_load_skill_gives_text_base_folder_and_files(tmp_path: Path) -> None:
    folder = skill(tmp_path)
    (folder / "data.bin").write_bytes(b"\xff\0")
    found = said(
        tmp_path,
        call("load_skill", name="pdf"),
        call("load_skill", name="pdf", path="notes.md"),
        call("load_skill", name="fdp"),
        call("load_skill", name="pdf", path="../../etc/passwd"),
        call("load_skill", name="pdf", path="/etc/passwd"),
        call("load_skill", name="pdf", path="data.bin"),
        call("load_skill", name="pdf", path="scripts"),
        call("load_skill", name="pdf", path="a\0b"),
        call("load_skill", name="pdf", path=5),
        call("load_skill", path="x"),
        call("load_skill", name="pdf", more=1),
    )
    assert found[:2] == [
        f"Base folder: {folder}\nFiles:\n- data.bin\n- notes.md\n- scripts/run.sh\n\nDo it.",
        "Notes.",
    ]
    for text, expected in zip(
        found[2:],
        ["there is no skill 'fdp'; there are: pdf", "has no file", "has no file", "no UTF-8",
         "it is no file", "has no file", "path: it must be a string", "name: it is missing",
         "more: there is no such argument"],
        strict=True,
    ):  # fmt: skip
        assert text.startswith("Error: "), text
        assert expected in text


def test_g2_an_edited_skill_breaks_no_replay(tmp_path: Path, store: str) -> None:
    skill(tmp_path)

    async def held() -> str:
        return await hold()

    def edit() -> None:
        skill(tmp_path, description="Another one.", body="Do something else.")

    connection = scripted(call("load_skill", name="pdf"), call("held"))
    setup = model(
        connection=connection, skills=Skills.from_local_dir(tmp_path),
        tools=[Tool(held, name="held")],
    )  # fmt: skip
    found = crash_and_resume(ByEvents(setup), ONE, store=store, down=edit)
    assert "Do it." in found[0]
    assert "something else" not in found[0]
    assert "Another one." in connection.requests[-1].messages[0].content
    assert connection.log.repeated() == []


# bash

HOSTILE_COMMANDS = [
    "rm -rf x", "cd /; ls", "/bin/ls", "../../../bin/ls", "./../../bin/rm x", "sh -c 'ls'",
    "eval ls", "exec ls", "source scripts/run.sh", ". scripts/run.sh", "command ls", "env ls",
    "ls; rm x", "ls && rm x", "ls || rm x", "ls | sh", "ls & rm x", "ls &", "ls\nrm x",
    "$(ls)", "`ls`", "ls $(rm x)", "ls `rm x`", "ls \"$(rm x)\"", "ls $HOME", "ls \"${HOME}\"",
    "PATH=. ls", "x=ls; $x", "export A=1", "ls > x", "ls >> x", "ls 2> x", "ls &> x", "ls < x",
    "cat << E\nx\nE", "cat <<< x", "ls <(rm x)", "ls >(sh)", "(rm x)", "{ rm x; }", "! ls",
    "f() { rm x; }; f", "ls() { rm x; }; ls", "for i in 1 2; do ls; done", "while ls; do ls; done",
    "if ls; then rm x; fi", "case x in x) ls;; esac", "[ -f x ]", "[[ -f x ]]", "(( 1 ))",
    "ls *", "ls ?", "ls [a-z]*", "ls ~", "ls ~root", "ls {a,b}", "ls $'a'", "ls |& sh", "> x",
    "2>&1 ls", "ls 1>&2", "alias ls=rm", "coproc ls", "time rm", "\\rm x", "'r'm x", "ls \\\nx",
    "link", "away/ls", "notes.md", "scripts", ".", "", " ", "# ls", "ls 'x", "ls \"x", "ls (", "\0",
    "\x1b[2J", "ls\0", "ls " + "x" * 20_000, "ls;" * 100, "\ud800",
]  # fmt: skip


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[SkillTools]:
    """Yield the tools of a model with one skill, with links that lead out of its folder."""
    folder = skill(tmp_path)
    kit = Skills.from_local_dir(tmp_path)
    asyncio.run(kit.open())
    (folder / "link").symlink_to("/bin/ls")
    (folder / "away").symlink_to("/bin")

    class Context:
        def names(self, type: ResourceType) -> tuple[str, ...]:
            return ()

    context: Any = Context()
    (tmp_path / "more").mkdir()
    made = SkillTools(
        [kit], ["ls", "cat", "sleep", "yes", "head", "false", "nosuch"], [str(tmp_path / "more")],
        {"bash": {"requires_approval": True}}, "model", context,
    )  # fmt: skip
    yield made
    assert made._running == set()


@pytest.mark.parametrize("command", HOSTILE_COMMANDS)
def test_a_hostile_command_is_refused_and_nothing_is_started(
    command: str, tools: SkillTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def started(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(args)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", started)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ToolArgumentsError) as caught:
        asyncio.run(tools.bash(command, cwd=str(tmp_path / "pdf")))
    assert "the command was not run: " in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("cwd", ["/", "..", "../..", "/no/such", "../pdf/away", "../pdf/notes.md"])
def test_commands_run_nowhere_else(cwd: str, tools: SkillTools) -> None:
    with pytest.raises(ToolArgumentsError, match="is no folder of a skill"):
        asyncio.run(tools.bash("ls", cwd=cwd))


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 601])
def test_a_timeout_that_is_none(timeout: float, tools: SkillTools) -> None:
    with pytest.raises(ToolArgumentsError, match="timeout"):
        asyncio.run(tools.bash("ls", timeout))


def test_words_quotes_pipes_and_steps_are_run_as_lists(tools: SkillTools, tmp_path: Path) -> None:
    lay(tmp_path / "more", {"args": '#!/bin/sh\nfor a; do echo "<$a>"; done\necho e >&2\n'})
    lay(tmp_path / "more", {"code": "#!/bin/sh\nexit $1\n", "broken": "#!/no/such\n"})

    def bash(command: str, **options: Any) -> str:
        return asyncio.run(tools.bash(command, **options))

    assert bash("./args 'a $b' \"c \\\" *\" d\\ e ''") == (
        'Exit code: 0\nStdout:\n<a $b>\n<c " *>\n<d e>\n<>\n\nStderr:\ne\n'
    )
    assert bash("args x 2>&1 | cat; ./args 2>&1") == "Exit code: 0\nStdout:\n<x>\ne\ne\n"
    assert bash("code 3 && args 1 || code 4; code 5 || args 6 2>&1") == (
        "Exit code: 0\nStdout:\n<6>\ne\n"
    )
    assert bash("code 3 && args 1") == "Exit code: 3"
    assert bash("false | args y 2>&1 | cat") == "Exit code: 0\nStdout:\n<y>\ne\n"
    assert bash("yes | head -n 1") == "Exit code: 0\nStdout:\ny\n"
    assert bash("scripts/run.sh 1", cwd=str(tmp_path / "pdf")) == "Exit code: 0\nStdout:\nran 1\n"
    assert bash("../pdf/scripts/run.sh 2") == "Exit code: 0\nStdout:\nran 2\n"
    with pytest.raises(ToolArgumentsError, match="could not be started"):
        bash("broken")


def test_output_is_cut(tools: SkillTools, tmp_path: Path) -> None:
    lay(tmp_path / "more", {"much": "#!/bin/sh\necho first\nyes | head -n 200000\necho last\n"})
    found = asyncio.run(tools.bash("much"))
    assert found.startswith("Exit code: 0\nStdout:\nfirst\ny\n")
    assert found.endswith("y\nlast\n")
    assert "bytes are left out]" in found
    assert len(found) < 40_000


def test_the_environment_is_of_a_list(
    tools: SkillTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "hush")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LD_PRELOAD", "")
    lay(tmp_path / "more", {"show": "#!/bin/sh\n/usr/bin/env\n"})
    found = asyncio.run(tools.bash("show"))
    names = {line.partition("=")[0] for line in found.splitlines()[2:]}
    assert {"PATH", "PERDURE_BASH"} <= names
    assert not names & {"SECRET_KEY", "LD_PRELOAD"}
    assert str(tmp_path) not in found.replace(f"PWD={tmp_path}", "")
    with pytest.raises(ToolArgumentsError, match="'nosuch' is not installed"):
        asyncio.run(tools.bash("nosuch"))


# What starts others that leave its group, and waits for them, or does not.
STUBBORN = """#!/bin/sh
trap '' TERM INT HUP
sleep {n}.1 &
setsid sleep {n}.2 &
(setsid sleep {n}.3 &) &
env -i PATH=/usr/bin:/bin setsid sleep {n}.4 &
echo ready
{end}
"""


def sleeping(number: int) -> list[psutil.Process]:
    return [
        each
        for each in psutil.process_iter(["cmdline"])
        if any(str(word).startswith(f"{number}.") for word in each.info["cmdline"] or ())
    ]


def stubborn(tmp_path: Path, end: str) -> int:
    """Lay the script; return by what its processes are known."""
    number = 100_000_000 + int(abs(hash(str(tmp_path)))) % 800_000_000
    lay(tmp_path / "more", {"stubborn": STUBBORN.format(n=number, end=end)})
    return number


def test_no_process_survives_a_timeout(tools: SkillTools, tmp_path: Path) -> None:
    number = stubborn(tmp_path, "wait")
    found = asyncio.run(tools.bash(f"stubborn | cat; sleep {number}.5", 1.5))
    assert found.startswith("Killed: it took over 1.5 s.")
    asyncio.run(until(lambda: sleeping(number) == []))


def test_no_process_survives_a_command_that_ends(tools: SkillTools, tmp_path: Path) -> None:
    # Nothing tells what has emptied its environment from others, once its parent is gone.
    number = stubborn(tmp_path, "kill -9 $!; exit 7")
    assert asyncio.run(tools.bash("stubborn", 60)) == "Exit code: 7\nStdout:\nready\n"
    asyncio.run(until(lambda: sleeping(number) == []))


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_no_process_survives_cancellation_and_close(
    how: str, tools: SkillTools, tmp_path: Path
) -> None:
    number = stubborn(tmp_path, "wait")

    async def main() -> None:
        task = asyncio.create_task(tools.bash("stubborn 2>&1 | cat", 600))
        await until(lambda: len(sleeping(number)) == 4)
        if how == "close":
            tools.close()
            with contextlib.suppress(ToolArgumentsError):  # cat was not started yet
                assert (await task).startswith("Exit code: ")
            return
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    asyncio.run(until(lambda: sleeping(number) == []))


def test_no_process_survives_cancellation_while_one_is_started(
    tools: SkillTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, start = stubborn(tmp_path, "wait"), asyncio.create_subprocess_exec

    async def started_late(*program: Any, **more: Any) -> Any:
        process = await start(*program, **more)
        try:
            await until(lambda: len(sleeping(number)) == 4)
            begun.set()
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            process.kill()  # as asyncio does
            await process.wait()
            raise
        return process

    async def main() -> None:
        nonlocal begun
        begun = asyncio.Event()
        task = asyncio.create_task(tools.bash("stubborn", 600))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    begun: asyncio.Event
    monkeypatch.setattr(asyncio, "create_subprocess_exec", started_late)
    asyncio.run(main())
    asyncio.run(until(lambda: sleeping(number) == []))


@pytest.mark.parametrize("sort", BOTH)
def test_a_command_is_one_durable_call(sort: Any, tmp_path: Path, store: str) -> None:
    folder = skill(tmp_path)
    lay(folder, {"once": "#!/bin/sh\necho x >> log\ncat log\n"})

    async def held() -> str:
        return await hold()

    setup = model(
        connection=scripted(call("bash", command="./once", cwd=str(folder)), call("held")),
        skills=Skills.from_local_dir(tmp_path), allowed_script_dirs=tmp_path,
        tools=[Tool(held, name="held")],
    )  # fmt: skip
    (found,) = crash_and_resume(sort(setup), ONE, store=store)
    assert "Stdout:\nx\n\n====" in found
    assert (folder / "log").read_text() == "x\n"


def test_a_command_waits_for_approval_like_any_tool(tools: SkillTools) -> None:
    assert [each.name for each in tools.tools] == ["load_skill", "bash"]
    assert [each.requires_approval for each in tools.tools] == [False, True]
