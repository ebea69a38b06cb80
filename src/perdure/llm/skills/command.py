"""Commands of a model, parsed: what is left is lists of arguments, and nothing for a shell.

A text is read with Bash's grammar. Words, quotes, `|`, `&&`, `||`, `;` and `2>&1` have their
meaning; all else is refused with a text that tells the model what to write instead.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from perdure.errors import ToolArgumentsError, missing_extra

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

__all__ = ["Command", "Step", "check_parser", "parsed"]

MAX_TEXT: Final = 16 * 1024  # bytes
MAX_COMMANDS: Final = 64

_REFUSED: Final = {
    "variable_assignment": "variables are not there: write the value itself",
    "variable_assignments": "variables are not there: write the value itself",
    "declaration_command": "variables are not there: write the value itself",
    "unset_command": "variables are not there: write the value itself",
    "simple_expansion": "$NAME is not expanded: write the value, or put the text in '...'",
    "expansion": "${NAME} is not expanded: write the value, or put the text in '...'",
    "arithmetic_expansion": "$((...)) is not there: write the value itself",
    "command_substitution": "$(...) and `...` are not there: run the command by itself first",
    "process_substitution": "<(...) and >(...) are not there: use |",
    "brace_expression": "{...} is not expanded: write each word, or put the text in '...'",
    "ansi_c_string": "$'...' is not there: use '...' or \"...\"",
    "translated_string": '$"..." is not there: use \'...\' or "..."',
    "subshell": "(...) is not there: write the commands one after the other",
    "compound_statement": "{ ...; } is not there: write the commands one after the other",
    "negated_command": "! is not there: look at the exit code",
    "test_command": "[ ... ] and [[ ... ]] are not there: look at what commands print",
    "function_definition": "functions are not there: write the commands one after the other",
    "heredoc_redirect": "<< is not there: pass the text as an argument in '...'",
    "herestring_redirect": "<<< is not there: pass the text as an argument in '...'",
    "file_redirect": "files are not redirected: the one redirection is 2>&1 behind a command",
    "if_statement": "if is not there: use && and ||",
    "for_statement": "loops are not there: write each command",
    "c_style_for_statement": "loops are not there: write each command",
    "while_statement": "loops are not there: write each command",
    "case_statement": "case is not there: write the command that is meant",
}
_TOKENS: Final = {
    "&": "& is not there: each command is waited for",
    "|&": "|& is not there: write 2>&1 |",
    "!": "! is not there: look at the exit code",
}
# What the shell would give a meaning, or what nobody would put there as it is.
_ACTIVE: Final = {
    **dict.fromkeys("*?[]", "is not expanded: name the files, or put the text in '...'"),
    **dict.fromkeys("{}", "is not expanded: write each word, or put the text in '...'"),
    **dict.fromkeys("$`", "is not expanded: write the value, or put the text in '...'"),
    **dict.fromkeys("<>|&;()'\"", "has no meaning there: put the text in '...'"),
}


@dataclasses.dataclass(slots=True)
class Command:
    """One program and its arguments.

    Attributes:
        arguments: Its name, and what it is called with.
        joined: Whether what it says on stderr goes where its stdout goes.
    """

    arguments: list[str]
    joined: bool = False


@dataclasses.dataclass(slots=True)
class Step:
    """Commands that pass on what they print, and when they are run.

    Attributes:
        when: ";": always; "&&": if the step before it succeeded; "||": if it failed.
        commands: One or several; each reads what the one before it prints.
    """

    when: str
    commands: list[Command]


def check_parser() -> None:
    """Make sure that commands can be parsed.

    Raises:
        ConfigurationError: The extra `skills` is not installed.
    """
    _parser()


@functools.cache
def _parser() -> Parser:
    try:
        import tree_sitter
        import tree_sitter_bash
    except ImportError as error:
        raise missing_extra("the tool `bash`", "skills", error) from error
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def parsed(text: str) -> list[Step]:
    """Return the steps that a text means.

    Raises:
        ToolArgumentsError: It means something that is not run; the text is for the model.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise _refusal("it is no text") from None
    if len(data) > MAX_TEXT:
        raise _refusal(f"it has over {MAX_TEXT // 1024} kB: put it in a file and run that")
    if any(each < " " and each not in "\t\n" for each in text) or "\x7f" in text:
        raise _refusal("it has control characters")
    # Taken out before words are: what the grammar makes of them differs from place to place.
    if "\\\n" in text:
        raise _refusal("a line does not go on after \\: write it as one")
    root = _parser().parse(data).root_node
    if root.has_error:
        raise _refusal("it is no command that can be read: check its quotes")
    try:
        steps = list(_program(root))
    except RecursionError:
        raise _refusal("it is nested too deeply") from None
    if not steps:
        raise _refusal("it is empty")
    if sum(len(each.commands) for each in steps) > MAX_COMMANDS:
        raise _refusal(f"it has over {MAX_COMMANDS} commands: run a part of them at a time")
    return steps


def _refusal(reason: str) -> ToolArgumentsError:
    return ToolArgumentsError(f"the command was not run: {reason}")


def _refused(node: Node) -> ToolArgumentsError:
    reason = _REFUSED.get(node.type) or _TOKENS.get(node.type) or "this is not there"
    text = _text(node)
    shown = text if len(text) <= 60 else f"{text[:60]}..."
    return _refusal(f"{shown!r}: {reason}")


def _text(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()


def _program(root: Node) -> Iterator[Step]:
    for node in root.children:
        if node.type == "comment" or (not node.is_named and node.type in (";", "\n")):
            continue
        if not node.is_named:
            raise _refused(node)
        yield from _steps(node)


def _steps(node: Node) -> list[Step]:
    """Return the steps of a statement: `a && b || c` is a list whose left side is a list."""
    if node.type == "redirected_statement":
        body = node.child_by_field_name("body")
        redirects = [each for each in node.children if each != body]
        if body is None:  # a file would be made or emptied
            raise _refused(node.children[0])
        for each in redirects:
            if each.type != "file_redirect" or _text(each) != "2>&1":
                raise _refused(each)
        steps = _steps(body)
        steps[-1].commands[-1].joined = True  # it is the last one's, whatever the grammar says
        return steps
    if node.type == "list":
        left, operator, *right = [each for each in node.children if each.type != "\n"]
        if operator.type not in ("&&", "||") or len(right) != 1:
            raise _refused(operator)
        steps, others = _steps(left), _steps(right[0])
        others[0].when = operator.type
        return steps + others
    if node.type == "pipeline":
        return _piped(node)
    if node.type != "command":
        raise _refused(node)
    return [Step(";", [_command(node)])]


def _piped(node: Node) -> list[Step]:
    """Return the steps of a pipeline.

    `a && b 2>&1 | c` is one here, whose first part is a list; it is b that passes on to c.
    """
    steps: list[Step] = []
    for each in node.children:
        if not each.is_named:
            if each.type not in ("|", "\n"):
                raise _refused(each)
        elif steps:
            first, *others = _steps(each)
            steps[-1].commands += first.commands
            steps += others
        else:
            steps = _steps(each)
    return steps


def _command(node: Node) -> Command:
    words = []
    for each in node.children:
        if each.type == "command_name":
            words.append(_word(each.children[0]))
        elif not words:
            raise _refused(each)  # an assignment, or a redirection
        else:
            words.append(_word(each))
    if not words[0]:
        raise _refusal("a command has an empty name")
    return Command(words)


def _word(node: Node) -> str:
    match node.type:
        case "word" | "number":
            return _bare(_text(node))
        case "raw_string":
            return _text(node)[1:-1]
        case "string":
            for each in node.children:
                if each.is_named and each.type != "string_content":
                    raise _refused(each)
            return _quoted(_text(node)[1:-1])
        case "concatenation":
            return _concatenation(node)
    raise _refused(node)


def _concatenation(node: Node) -> str:
    at, parts = node.start_byte, []
    for each in node.children:
        if each.start_byte != at:
            raise _refusal(f"{_text(node)[:60]!r}: put it in '...'")
        parts.append(_word(each) if each.is_named else _bare(_text(each)))
        at = each.end_byte
    if at != node.end_byte:
        raise _refusal(f"{_text(node)[:60]!r}: put it in '...'")
    return "".join(parts)


def _bare(text: str) -> str:
    """Return what a word without quotes stands for."""
    if text.startswith("~"):
        raise _refusal(f"{text[:60]!r}: ~ is not expanded: write the path")
    found, at = [], 0
    while at < len(text):
        letter = text[at]
        if letter == "\\" and at + 1 < len(text):
            at += 1
            letter = text[at]
        elif letter in _ACTIVE:
            raise _refusal(f"{text[:60]!r}: {letter} {_ACTIVE[letter]}")
        found.append(letter)
        at += 1
    return "".join(found)


def _quoted(text: str) -> str:
    """Return what a text between double quotes stands for."""
    found, at = [], 0
    while at < len(text):
        letter = text[at]
        if letter == "\\" and text[at + 1 : at + 2] in ("$", "`", '"', "\\"):
            at += 1
            letter = text[at]
        elif letter in "$`":
            raise _refusal(f"{text[:60]!r}: {letter} {_ACTIVE[letter]}")
        found.append(letter)
        at += 1
    return "".join(found)
