"""The syntax of conditions: what one reads of an event, which event types it can be true for.

Works on the text alone, as the compiler for CEL keeps its syntax tree to itself. What is not
valid CEL may be misread here: it is refused all the same, when it is compiled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from perdure.errors import AgentDefinitionError
from perdure.event import EventType

__all__ = [
    "EVENT_TYPES",
    "FUNCTIONS",
    "OURS",
    "Source",
    "check",
    "event_type_of",
    "event_types",
    "is_condition",
    "keys",
    "read",
]

EVENT_TYPES: Final[Mapping[str, str]] = {
    name: value for name, value in vars(EventType).items() if not name.startswith("_")
}
OURS: Final = frozenset({"type", "id", "attributes", "EventType"})

_PLAIN: Final = re.compile(r"[\w.\-]+")
_QUOTED: Final = re.compile(r"(['\"])([^\s'\"\\\x00-\x1f\x7f]+)\1")
_LITERALS: Final = frozenset({"true", "false", "null"})
_MACROS: Final = frozenset({"exists", "exists_one", "all", "filter", "map"})
FUNCTIONS: Final = frozenset(
    "size contains startsWith endsWith matches int uint double string bytes timestamp duration "
    "type dyn getFullYear getMonth getDayOfYear getDayOfMonth getDate getDayOfWeek getHours "
    "getMinutes getSeconds getMilliseconds".split()
)
_BOOLEAN_FUNCTIONS: Final = frozenset("has contains startsWith endsWith matches dyn".split())
_BOOLEAN_OPERATORS: Final = frozenset("&& || ! ? == != < <= > >= in".split())
_ARITHMETIC: Final = frozenset("+-*/%")
# Compiled when the first condition is read, and kept by `re`: most agents have none.
_LEXEMES: Final = r"""
    (?P<space>\s+|//[^\n]*)
    |(?P<string>
        [rR][bB]?(?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n]*"|'[^'\n]*')
        |[bB]?(?:\"\"\"(?:\\.|.)*?\"\"\"|'''(?:\\.|.)*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    )
    |(?P<number>\d[0-9A-Za-z_.]*)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<operator>&&|\|\||[=!<>]=|.)
    """


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


class Source(NamedTuple):
    """A condition, read.

    Attributes:
        tokens: it in parts.
        checked: it in standard CEL, for messages: what stays is where it was.
        rewritten: it in standard CEL, to execute.
    """

    tokens: list[_Token]
    checked: str
    rewritten: str


def is_condition(text: str) -> bool:
    """Say whether a trigger written as a string is a condition; if not, it names an event type.

    An event type is written plainly (`order.created`) or, with other characters or as the name of
    something else, in quotes of its own (`'order:created'`, `'true'`).
    """
    text = text.strip()
    if _PLAIN.fullmatch(text):
        # Most likely conditions half written: as types they would be of no event.
        return text in _LITERALS or text.startswith(("EventType.", "attributes."))
    return bool(text) and not _QUOTED.fullmatch(text)


def event_type_of(text: str) -> str:
    """Return the event type that a trigger names which is no condition; "" if it is blank."""
    text = text.strip()
    quoted = _QUOTED.fullmatch(text)
    return quoted[2] if quoted else text


def read(text: str, where: str) -> Source:
    """Return a condition in standard CEL.

    `has(score)` and `has(a.b.c)` ask for every step of the path, which the standard does not, and
    `EventType.X` is the type itself.

    Args:
        text: The condition.
        where: Whose it is, for messages.

    Raises:
        AgentDefinitionError: There is no such constant.
    """
    tokens = [
        _Token(match.lastgroup or "", match[0], match.start())
        for match in re.finditer(_LEXEMES, text, re.VERBOSE | re.DOTALL)
        if match.lastgroup != "space"
    ]
    checked, rewritten, done = list(text), [], 0
    for start, end, new in _replaced(tokens, where):
        rewritten += [text[done:start], new]
        done = end
        if new.startswith("("):
            blank = re.sub(r"[^\n]", " ", text[start:end])
            checked[start:end] = "true" + blank[4:]
    rewritten.append(text[done:])
    return Source(tokens, "".join(checked), "".join(rewritten))


def _replaced(tokens: list[_Token], where: str) -> Iterator[tuple[int, int, str]]:
    for at, token in enumerate(tokens):
        if (path := _has_path(tokens, at)) is not None:
            close = tokens[at + 2 * len(path) + 1]
            yield token.start, close.start + 1, _has_chain(path)
        elif token.text == "EventType" and _text(tokens, at + 1) == "." and _is_root(tokens, at):
            name = tokens[min(at + 2, len(tokens) - 1)]
            if name.text in EVENT_TYPES and _text(tokens, at - 2) != "has":
                yield token.start, name.start + len(name.text), repr(EVENT_TYPES[name.text])
            elif name.kind == "name" and name.text not in EVENT_TYPES:
                known = ", ".join(EVENT_TYPES)
                raise AgentDefinitionError(
                    f"{where}: there is no EventType.{name.text}: use one of {known}"
                )


def _text(tokens: list[_Token], at: int) -> str:
    return tokens[at].text if 0 <= at < len(tokens) else ""


def _is_root(tokens: list[_Token], at: int) -> bool:
    """Say whether a name is a variable: no field, method or function."""
    return _text(tokens, at - 1) != "." and _text(tokens, at + 1) != "("


def _has_path(tokens: list[_Token], at: int) -> list[str] | None:
    """Return the names in `has(a.b.c)` at a place; None if it is something else."""
    if tokens[at].text != "has" or _text(tokens, at - 1) == "." or _text(tokens, at + 1) != "(":
        return None
    path: list[str] = []
    for name in range(at + 2, len(tokens) - 1, 2):
        if tokens[name].kind != "name":
            return None
        path.append(tokens[name].text)
        if tokens[name + 1].text == ")":
            no_field = len(path) == 1 and path[0] in OURS | _LITERALS
            return None if no_field or path[0] == "EventType" else path
        if tokens[name + 1].text != ".":
            return None
    return None


def _has_chain(path: list[str]) -> str:
    if path[0] not in OURS:
        path = ["attributes", *path]  # a variable that is missing has no name to ask for
    steps = [f"has({'.'.join(path[:end])})" for end in range(2, len(path) + 1)]
    return f"({' && '.join(steps)})"


# What it reads


def keys(tokens: list[_Token], evaluate: Callable[[str], Any], where: str) -> set[str]:
    """Return the attributes that a condition reads.

    Args:
        tokens: The condition.
        evaluate: Evaluates a literal.
        where: Whose it is, for messages.

    Raises:
        AgentDefinitionError: It reads attributes that it does not name.
    """
    found = set()
    for at, token in enumerate(tokens):
        name = token.text
        if token.kind != "name" or name in _LITERALS or name == "in" or not _is_root(tokens, at):
            continue
        if name != "attributes":
            found |= {name} - OURS
        elif (key := _attribute(tokens, at, evaluate)) is not None:
            found.add(key)
        else:
            raise AgentDefinitionError(
                f"{where}, column {token.start + 1}: `attributes` as a whole: name an attribute, "
                "as in attributes.score, attributes['score'] or 'score' in attributes"
            )
    return found


def _attribute(tokens: list[_Token], at: int, evaluate: Callable[[str], Any]) -> str | None:
    """Return the attribute meant by `attributes` at a place; None if it is all of them."""
    after, literal = _text(tokens, at + 1), None
    if after == ".":
        return None if _text(tokens, at + 3) == "(" else _text(tokens, at + 2)
    if after == "[" and _text(tokens, at + 3) == "]":
        literal = tokens[at + 2]
    elif after != "[" and _text(tokens, at - 1) == "in":
        if _text(tokens, at - 3) in ("", "(", "&&", "||", "?", ":", ","):
            literal = tokens[at - 2]
    if literal is None or literal.kind != "string":
        return None
    key = evaluate(literal.text)
    return key if isinstance(key, str) else None


# What could not be true or false of any event


def check(tokens: list[_Token], where: str) -> None:
    """Refuse a condition that has what conditions do not have, or never is true or false.

    Raises:
        AgentDefinitionError: Says which part.
    """
    for at, token in enumerate(tokens):
        if token.kind == "name" and _text(tokens, at + 1) == "{":
            raise AgentDefinitionError(f"{where}: {token.text}{{...}}: there are no messages here")
        if token.kind != "name" or _text(tokens, at + 1) != "(":
            continue
        is_method = _text(tokens, at - 1) == "."
        if token.text in _MACROS and is_method:
            raise AgentDefinitionError(
                f"{where}: no {token.text}(...): has(...) is the only macro that there is"
            )
        if token.text == "has" and not is_method:
            if _text(tokens, at + 3) == ",":
                raise AgentDefinitionError(f"{where}: has(...) takes one path, as in has(a.b)")
        elif token.text not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS | {"has"}))
            raise AgentDefinitionError(f"{where}: no function {token.text}: use one of {known}")
    inner = _stripped(tokens)
    path = "".join(token.text for token in inner)
    if all(token.kind == "name" or token.text == "." for token in inner):
        if path.startswith("EventType."):
            raise AgentDefinitionError(
                f"{where} is no condition: write type == {path}, or pass {path} without quotes"
            )
        if path not in _LITERALS:
            raise AgentDefinitionError(f"{where} is no condition: write {path} == true")
    elif _never_boolean(inner):
        raise AgentDefinitionError(f"{where} is never true or false: compare it with something")


def _never_boolean(tokens: list[_Token]) -> bool:
    """Say whether the outermost thing in an expression is arithmetic or a call for a value."""
    outermost = [
        (token, at) for at, token, depth in _with_depth(tokens) if depth == 0 and token.text != ")"
    ]
    operators = {token.text for token, _ in outermost if token.kind != "string"}
    if operators & _BOOLEAN_OPERATORS:
        return False
    calls = [token.text for token, at in outermost if _text(tokens, at + 1) == "("]
    names = [token.text for token, _ in outermost if token.kind == "name"]
    if operators & _ARITHMETIC:
        return True
    is_call = bool(calls) and names[-1:] == calls[-1:] and tokens[-1].text == ")"
    return is_call and calls[-1] not in _BOOLEAN_FUNCTIONS


def _with_depth(tokens: list[_Token]) -> Iterator[tuple[int, _Token, int]]:
    """Number tokens, and say how many brackets each is in; a bracket is in those around it."""
    depth = 0
    for at, token in enumerate(tokens):
        if token.kind == "operator" and token.text in ")]}":
            depth -= 1
        yield at, token, depth
        if token.kind == "operator" and token.text in "([{":
            depth += 1


# Which types it asks for


def event_types(tokens: list[_Token], evaluate: Callable[[str], Any]) -> frozenset[str] | None:
    """Return the types that an expression can be true for; None when it does not say.

    Read off `&&`, `||` and comparisons of `type` alone: what else there is does not matter, for
    in CEL false && anything is false, be it an error.

    Args:
        tokens: The expression.
        evaluate: Evaluates a literal.
    """
    tokens = _stripped(tokens)
    if len(alternatives := _split(tokens, "||")) > 1:
        found = [event_types(each, evaluate) for each in alternatives]
        several = [each for each in found if each is not None]
        return frozenset[str]().union(*several) if len(several) == len(found) else None
    if len(parts := _split(tokens, "&&")) > 1:
        found = [event_types(each, evaluate) for each in parts]
        demands = [each for each in found if each is not None]
        return frozenset.intersection(*demands) if demands else None
    texts = [token.text for token in tokens]
    if texts[:3] == ["type", "in", "["] and texts[-1] == "]":
        named = {_type_named(each, evaluate) for each in _split(tokens[3:-1], ",")}
        return None if None in named else frozenset(each for each in named if each is not None)
    value = None
    if texts[:2] == ["type", "=="]:
        value = _type_named(tokens[2:], evaluate)
    elif texts[-2:] == ["==", "type"]:
        value = _type_named(tokens[:-2], evaluate)
    return None if value is None else frozenset({value})


def _type_named(tokens: list[_Token], evaluate: Callable[[str], Any]) -> str | None:
    if [token.text for token in tokens[:2]] == ["EventType", "."] and len(tokens) == 3:
        return EVENT_TYPES.get(tokens[2].text)
    if len(tokens) == 1 and tokens[0].kind == "string":
        value = evaluate(tokens[0].text)
        return value if isinstance(value, str) else None
    return None


def _split(tokens: list[_Token], operator: str) -> list[list[_Token]]:
    """Return the parts between an operator where it is outermost; all in one under `? :`."""
    parts: list[list[_Token]] = [[]]
    for _, token, depth in _with_depth(tokens):
        if depth == 0 and token.kind == "operator" and token.text in (operator, "?"):
            if token.text == "?":
                return [tokens]
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _stripped(tokens: list[_Token]) -> list[_Token]:
    """Return an expression without parentheses around the whole of it."""
    while len(tokens) > 2 and tokens[0].text == "(":
        close = next((at for at, _, depth in _with_depth(tokens) if at and depth == 0), 0)
        if close != len(tokens) - 1:
            break
        tokens = tokens[1:-1]
    return tokens
