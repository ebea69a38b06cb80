"""What a chat model with skills is told, and the tools that it has: `load_skill` and `bash`."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from perdure.errors import ConfigurationError, ToolArgumentsError
from perdure.llm.skills.command import Step, check_parser, parsed
from perdure.llm.skills.process import Commands, Ended
from perdure.llm.skills.skill import SKILL_FILE, read_text
from perdure.llm.skills.skills import chosen_skills
from perdure.llm.skills.told import BASH_TOOL, LOAD_SKILL_TOOL, skills_prompt
from perdure.llm.tool import Tool
from perdure.resource import Resource, ResourceContext

__all__ = ["BASH_TOOL", "LOAD_SKILL_TOOL", "SkillTool", "SkillTools"]

TIMEOUT: Final = 60.0
MAX_TIMEOUT: Final = 600.0
MAX_OUTPUT: Final = 32 * 1024  # bytes of stdout, and of stderr
MAX_LISTED: Final = 200  # files that `load_skill` names
_COMMAND: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
# Where commands are found, whatever the environment says: beside this Python first.
_PLACES: Final = ("/usr/local/bin", "/usr/bin", "/bin", "/opt/homebrew/bin")
PATH: Final = os.pathsep.join(
    (*filter(None, (os.path.dirname(sys.executable),)), *_PLACES)  # "" would be the folder of work
)
# What commands get of this process's environment: it may hold keys and passwords.
INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "USER")

_LOAD: Final = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "The skill's name."},
        "path": {
            "type": "string",
            "description": "One of its files, from its base folder.",
            "default": SKILL_FILE,
        },
    },
    "required": ["name"],
    "additionalProperties": False,
}
_BASH: Final = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "description": "What to run."},
        "timeout": {
            "type": "number",
            "description": "Seconds, then it is killed.",
            "default": int(TIMEOUT),
            "exclusiveMinimum": 0,
            "maximum": int(MAX_TIMEOUT),
        },
        "cwd": {
            "type": "string",
            "description": "The folder to run it in, such as a skill's base folder.",
        },
    },
    "required": ["command"],
    "additionalProperties": False,
}
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {"string": (str,), "number": (int, float)}


class SkillTool(Tool):
    """`load_skill` or `bash`: a tool whose arguments are checked by its own parameters."""

    __journal_name__ = "perdure:SkillTool"

    def checked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        known: dict[str, Any] = self.parameters["properties"]
        for name, value in arguments.items():
            if name not in known:
                raise ToolArgumentsError(f"{name}: there is no such argument")
            kinds = _KINDS[known[name]["type"]]
            if value is None and name not in self.parameters["required"]:
                continue
            if isinstance(value, bool) or not isinstance(value, kinds):
                raise ToolArgumentsError(f"{name}: it must be a {known[name]['type']}")
        for name in self.parameters["required"]:
            if name not in arguments:
                raise ToolArgumentsError(f"{name}: it is missing")
        return {name: value for name, value in arguments.items() if value is not None}


class SkillTools:
    """What one chat model has of skills, while its job is open.

    Owns: the commands that run. Used on the host loop; what `load_skill` reads, on threads.

    Args:
        skills: Names of skills, or Skills, whose skills are meant.
        commands: Names of programs that the model may run.
        script_dirs: Folders whose files it may run.
        options: Options of the two tools, by name.
        where: Whose they are, for messages.
        context: Where Skills are found.

    Raises:
        ConfigurationError: A skill, a folder or the extra `skills` is missing, or a name is none.
    """

    def __init__(
        self,
        skills: Iterable[str | Resource],
        commands: Iterable[str],
        script_dirs: Iterable[str],
        options: Mapping[str, Mapping[str, Any]],
        where: str,
        context: ResourceContext,
    ) -> None:
        self._where = where
        self.skills = chosen_skills(skills, context, where)
        self._commands = frozenset(self._checked_command(each) for each in commands)
        self._dirs = [self._checked_dir(each) for each in script_dirs]
        self._folders = [*self._dirs, *(Path(each.folder) for each in self.skills.values())]
        self._running: set[Commands] = set()
        may_run = bool(self._commands or self._dirs)
        self.prompt = skills_prompt(self.skills.values()) if self.skills else ""
        known = (LOAD_SKILL_TOOL,) * bool(self.skills) + (BASH_TOOL,) * may_run
        for name in options:
            if name not in known:
                raise ConfigurationError(
                    f"{where}: tool_options has {name!r}: of its skills it has the tools"
                    f" {', '.join(known) or 'none'}"
                )
        self.tools: tuple[Tool, ...] = ()
        if self.skills:
            self.tools += (self._load_tool(options.get(LOAD_SKILL_TOOL, {})),)
        if may_run:
            if not self._folders:
                raise ConfigurationError(
                    f"{where}: allowed_commands without skills= or allowed_script_dirs= have no"
                    " folder to run in: name one"
                )
            check_parser()
            self.tools += (self._bash_tool(options.get(BASH_TOOL, {})),)

    def _checked_command(self, name: str) -> str:
        if not isinstance(name, str) or not _COMMAND.fullmatch(name):
            raise ConfigurationError(
                f"{self._where}: allowed_commands has {name!r}: write bare names, such as 'ls';"
                " files are for allowed_script_dirs"
            )
        return name

    def _checked_dir(self, name: str) -> Path:
        found = Path(os.path.realpath(Path(name).expanduser()))
        if not found.is_dir():
            raise ConfigurationError(
                f"{self._where}: allowed_script_dirs has {name!r}: there is no such folder"
            )
        return found

    def _load_tool(self, options: Mapping[str, Any]) -> Tool:
        return self._made(
            self.load_skill, LOAD_SKILL_TOOL, options, parameters=_LOAD,
            description=(
                "Read a skill: its instructions, its base folder and the files in it; or one of"
                " its files."
            ),
        )  # fmt: skip

    def _bash_tool(self, options: Mapping[str, Any]) -> Tool:
        named = ", ".join(sorted(self._commands)) or "none"
        dirs = f" Scripts are in: {', '.join(map(str, self._dirs))}." if self._dirs else ""
        return self._made(
            self.bash, BASH_TOOL, options, parameters=_BASH,
            description=(
                f"Run commands: these programs: {named}; and scripts in folders of skills, by their"
                f" path.{dirs} Quotes, |, &&, ||, ; and 2>&1 can be used, and nothing else of a"
                " shell: no variables, globs, redirections, loops or $(...)."
            ),
        )  # fmt: skip

    def _made(self, func: Any, name: str, options: Mapping[str, Any], **more: Any) -> Tool:
        try:
            return SkillTool(func, name=name, **{**more, **options})
        except TypeError as error:
            raise ConfigurationError(f"{self._where}: tool_options of {name!r}: {error}") from None

    # load_skill

    def load_skill(self, name: str, path: str = SKILL_FILE) -> str:
        """Return a skill's instructions, or the text of one of its files.

        Raises:
            ToolArgumentsError: There is no such skill or file; the text is for the model.
        """
        skill = self.skills.get(name)
        if skill is None:
            known = ", ".join(self.skills)
            raise ToolArgumentsError(f"there is no skill {name!r}; there are: {known}")
        folder = Path(skill.folder)
        if os.path.normpath(path) == SKILL_FILE:
            listed = list(skill.files[:MAX_LISTED])
            if len(skill.files) > MAX_LISTED:
                listed.append(f"and {len(skill.files) - MAX_LISTED} more")
            files = "\n".join(f"- {each}" for each in listed) or "none"
            return f"Base folder: {folder}\nFiles:\n{files}\n\n{skill.text}"
        file = _inside(folder / path, [folder])
        if file is None or not file.exists():
            raise ToolArgumentsError(f"the skill {name!r} has no file {path!r}")
        try:
            return read_text(file)
        except (OSError, ValueError) as error:
            raise ToolArgumentsError(f"{path!r} of the skill {name!r}: {error}") from None

    # bash

    async def bash(self, command: str, timeout: float = TIMEOUT, cwd: str | None = None) -> str:
        """Run commands and return what came of them.

        Raises:
            ToolArgumentsError: They were not run; the text is for the model.
        """
        if not 0 < timeout <= MAX_TIMEOUT:  # a NaN is neither
            raise ToolArgumentsError(f"timeout: it must be over 0 and at most {MAX_TIMEOUT:g}")
        folder, steps = await asyncio.to_thread(self._planned, command, cwd)
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        commands = Commands(str(folder), {**environment, "PATH": PATH}, MAX_OUTPUT)
        self._running.add(commands)
        try:
            ended = await commands.run(steps, timeout)
        except OSError as error:
            raise ToolArgumentsError(f"a command could not be started: {error}") from None
        finally:
            self._running.discard(commands)
        return _told(ended, timeout)

    def _planned(self, command: str, cwd: str | None) -> tuple[Path, list[tuple[Step, Any]]]:
        """Return the folder and the steps of commands, each with its programs; all may be run."""
        folder = self._checked_cwd(cwd)
        return folder, [
            (step, [self._program(each.arguments, folder) for each in step.commands])
            for step in parsed(command)
        ]

    def _checked_cwd(self, cwd: str | None) -> Path:
        if cwd is None:
            return self._folders[0]
        found = _inside(self._folders[0] / cwd, self._folders)
        if found is None or not found.is_dir():
            raise ToolArgumentsError(
                f"cwd: {cwd!r} is no folder of a skill or of scripts; there are:"
                f" {', '.join(map(str, self._folders))}"
            )
        return found

    def _program(self, arguments: list[str], cwd: Path) -> list[str]:
        """Return file, name and arguments of a command.

        A bare name is one that is listed, found on the fixed PATH and nowhere else. What is found
        in a folder is there, links resolved, and is a file, so that no bare name gets past this by
        its folder.
        """
        name = arguments[0]
        if name in self._commands:
            file = shutil.which(name, path=PATH)
            if file is None:
                raise ToolArgumentsError(f"the command was not run: {name!r} is not installed")
            return [file, *arguments[1:]]
        found = _inside(cwd / name, self._folders)
        if found is None or not found.exists():
            named = ", ".join(sorted(self._commands)) or "none"
            raise ToolArgumentsError(
                f"the command was not run: {name!r} may not be run: it is none of the programs"
                f" {named}, and no file in a folder of a skill or of scripts"
            )
        if not stat.S_ISREG(found.stat().st_mode) or not os.access(found, os.X_OK):
            raise ToolArgumentsError(
                f"the command was not run: {name!r} is no file that can be run"
            )
        return [str(found), *arguments[1:]]

    def close(self) -> None:
        """Kill the commands that run."""
        for each in tuple(self._running):
            each.close()


def _inside(path: Path, folders: Iterable[Path]) -> Path | None:
    """Return a path with its links resolved, if it lies in one of some folders."""
    try:
        found = Path(os.path.realpath(path))
    except (OSError, ValueError):  # a NUL
        return None
    return found if any(found.is_relative_to(each) for each in folders) else None


def _told(ended: Ended, timeout: float) -> str:
    if ended.code is None:
        parts = [f"Killed: it took over {timeout:g} s."]
    else:
        parts = [f"Exit code: {ended.code}"]
    if ended.stdout:
        parts.append(f"Stdout:\n{ended.stdout}")
    if ended.stderr:
        parts.append(f"Stderr:\n{ended.stderr}")
    return "\n".join(parts)
