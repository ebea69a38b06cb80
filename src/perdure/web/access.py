"""Who may do what: tokens with a name and a role, and where they come from."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable

from perdure.errors import ConfigurationError, did_you_mean

__all__ = ["Access", "Role", "Token", "chosen_tokens", "read_token_file"]

ENVIRONMENT = "PERDURE_TOKEN"
UNNAMED = "operator"  # who has a token without a name
_SHORTEST = 8  # characters of a token: what is shorter can be guessed
_LONGEST_NAME = 100


class Role(enum.IntEnum):
    """What a token is good for; each may what those before it may."""

    __journal_name__ = "perdure:Role"

    READ = 1  # look
    RUN = 2  # start runs
    OPERATE = 3  # cancel, retry, signal and answer

    @property
    def label(self) -> str:
        """Its name in token files and answers."""
        return self.name.lower()

    @classmethod
    def named(cls, text: str) -> Role:
        """Return the role with a name.

        Raises:
            ConfigurationError: there is none.
        """
        roles = {role.label: role for role in cls}
        if text not in roles:
            hint = did_you_mean(text, roles, f"choose of {', '.join(roles)}")
            raise ConfigurationError(f"role {text!r} of a token is not known: {hint}")
        return roles[text]


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """A secret that a client sends as `Authorization: Bearer SECRET`.

    Attributes:
        secret: at least 8 characters that a header can hold.
        name: who has it: `Approval.by` of those who answer with it.
        role: what it is good for.
    """

    __journal_name__ = "perdure:Token"

    secret: str = dataclasses.field(repr=False)
    name: str = UNNAMED
    role: Role = Role.OPERATE

    def __post_init__(self) -> None:
        if len(self.secret) < _SHORTEST or not _is_word(self.secret):
            raise ConfigurationError(
                f"the token of {self.name!r} must be {_SHORTEST} or more characters of ASCII"
                " without spaces: make one with `openssl rand -hex 16`"
            )
        if not 0 < len(self.name) <= _LONGEST_NAME or not self.name.isprintable():
            raise ConfigurationError(
                f"the name {self.name[:40]!r} of a token is no name: write 1 to {_LONGEST_NAME}"
                " printable characters"
            )

    @classmethod
    def made(cls) -> Token:
        """Return a new one that may do everything."""
        return cls(secrets.token_urlsafe(24))


def _is_word(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


class Access:
    """Knows tokens by their digests, so that how long a look takes tells nothing of them.

    Args:
        tokens: all that are good; none: nobody is asked.

    Raises:
        ConfigurationError: two of them are the same secret.
    """

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens: dict[bytes, Token] = {}
        for token in tokens:
            other = self._tokens.setdefault(_digest(token.secret), token)
            if other is not token:
                raise ConfigurationError(
                    f"{other.name!r} and {token.name!r} have the same token: give each its own"
                )

    @property
    def asks(self) -> bool:
        """Whether a token is needed."""
        return bool(self._tokens)

    def token_of(self, authorization: str) -> Token | None:
        """Return the token in an Authorization header, None where it is not a good one."""
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        given, found = _digest(secret.strip()), None
        for digest, token in self._tokens.items():
            if hmac.compare_digest(digest, given):
                found = token
        return found


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def chosen_tokens(tokens: Iterable[Token | str] | None) -> list[Token] | None:
    """Return the tokens that were given, or that the environment has; None where none was."""
    if tokens is not None:
        return [each if isinstance(each, Token) else Token(each) for each in tokens]
    secret = os.environ.get(ENVIRONMENT)
    return [Token(secret)] if secret else None


def read_token_file(path: str) -> list[Token]:
    """Return the tokens of a file: a line each of NAME ROLE TOKEN, or one line of a token alone.

    Raises:
        ConfigurationError: a line is neither, or there is none, or it is not UTF-8.
        OSError: it cannot be read.
    """
    tokens: list[Token] = []
    for number, line in enumerate(_text_of(path).splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            tokens.append(_token_of(words))
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}, line {number}: {error}") from None
    if not tokens:
        raise ConfigurationError(f"{path} has no token: write lines of NAME ROLE TOKEN")
    return tokens


def _text_of(path: str) -> str:
    with open(path, "rb") as file:
        data = file.read()
    try:
        return data.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path} is not UTF-8 at byte {error.start + 1}: save it as UTF-8"
        ) from None


def _token_of(words: list[str]) -> Token:
    if len(words) == 1:
        return Token(words[0])
    if len(words) == 3:
        return Token(words[2], words[0], Role.named(words[1]))
    raise ConfigurationError("write NAME ROLE TOKEN, such as: ann operate 3f9c…, or a token alone")
