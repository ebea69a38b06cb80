"""Failures of model providers as RetryableError, TerminalError or ConfigurationError."""

from __future__ import annotations

import asyncio
import re
import traceback
from typing import Any, Final

from perdure.errors import (
    ConfigurationError,
    PerdureError,
    RetryableError,
    TerminalError,
)
from perdure.integrations.retry_after import seconds_of

__all__ = ["failed_midway", "filtered", "translated", "unreadable", "unusable"]

_RETRYABLE_STATUSES: Final = frozenset((408, 409, 425, 429))
_LONGEST: Final = 500

# Libraries that tell a failed connection by exceptions of their own, and how these are called.
_TRANSPORTS: Final = frozenset(
    ("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "botocore", "urllib3", "grpc")
)
# What comes of reading an answer that has another form than its reader takes for granted, and the
# functions that read: those of Pydantic AI's models, and of the SDKs below them.
_UNREADABLE: Final = (
    LookupError, AttributeError, TypeError, ValueError, AssertionError, RecursionError
)  # fmt: skip
_READERS: Final = frozenset(
    ("_process_response", "_process_streamed_response", "_get_event_iterator", "_from_response")
)
_LIBRARIES: Final = frozenset(
    ("anthropic", "cohere", "google", "groq", "mistralai", "openai", "perdure", "pydantic_ai")
)
_OF_THIS_PROCESS: Final = ("pydantic_ai.models.function", "pydantic_ai.models.test")
_TRANSPORT_NAME: Final = re.compile(r"Timeout|Connect|Protocol|Network|Read|Write|Closed")


def unusable(name: str, error: Exception, what: str = "chat model") -> ConfigurationError:
    """Return the error that says why a model cannot be used, and what to do.

    Args:
        name: The model, as `provider:model`, or the provider.
        error: What Pydantic AI raised: a missing package, a missing key, an unknown name.
        what: What that is the name of.
    """
    if isinstance(error, PerdureError):
        return ConfigurationError(f"{error}")
    text = _one_line(str(error))
    if isinstance(error, ImportError):
        package = re.search(r"pip install [\"']?([\w\-\[\],]+)", text)
        wanted = f"pip install '{package.group(1)}'" if package else text
        return ConfigurationError(f"the {what} {name!r} needs a package of its provider: {wanted}")
    variable = re.search(r"Set the `([A-Z][A-Z0-9_]+)` environment variable", text)
    if variable and "KEY" in variable.group(1):
        return ConfigurationError(
            f"the {what} {name!r} has no API key: set {variable.group(1)} or pass api_key="
        )
    if variable and "URL" in variable.group(1):
        return ConfigurationError(
            f"the {what} {name!r} has no address: set {variable.group(1)} or pass base_url="
        )
    return ConfigurationError(f"the {what} {name!r} cannot be used: {text}")


def filtered(name: str, details: Any) -> TerminalError:
    """Return the error that says that the provider withheld the answer.

    Args:
        name: The model, as `provider:model`.
        details: What the provider says of it.
    """
    said = details.get("refusal") if isinstance(details, dict) else None
    why = f": {_one_line(str(said))}" if said else ""
    return TerminalError(
        f"{name}: the provider's content filter withheld the answer{why}; change the messages"
    )


def failed_midway(name: str, text: str | None) -> RetryableError:
    """Return the error that says that the provider gave up in the middle of its answer.

    Args:
        name: The model, as `provider:model`.
        text: What it had said.
    """
    after = f" after {_one_line(text)!r:.200}" if text else ""
    return RetryableError(f"{name}: the provider ended its answer with an error{after}")


def translated(name: str, error: Exception) -> Exception:
    """Return a failed request's error as what it means for the call; others as they are.

    Args:
        name: The model, as `provider:model`.
        error: What Pydantic AI, the provider's SDK or the HTTP client raised.
    """
    from pydantic_ai import exceptions as known

    if isinstance(error, known.ModelHTTPError):
        return _of_status(name, error)
    if isinstance(error, known.ModelAPIError):
        rejected = known.ModelRequestRejectedError, known.ModelQuotaExceededError
        text = f"{name}: {_one_line(error.message)}{_cause(error)}"
        said = _message_of(getattr(error.__cause__, "body", None))
        if said and said not in text:
            text = f"{name}: {said}"
        if isinstance(error, rejected):
            return TerminalError(text)
        return RetryableError(text, retry_after=seconds_of(error.retry_after))
    if isinstance(error, known.FallbackExceptionGroup):
        return _of_group(name, error)
    if isinstance(error, known.ContentFilterError):
        return filtered(name, {"refusal": error.message})
    if isinstance(error, known.UnexpectedModelBehavior):
        # The same request may well be answered in form the next time.
        return RetryableError(f"{name}: {_one_line(error.message)}")
    if isinstance(error, known.UserError | ImportError):
        return unusable(name, error)
    if _is_transport(error):
        return RetryableError(f"{name}: {_said(error)}")
    if isinstance(error, _UNREADABLE) and _is_of_reading(error):
        return unreadable(name, error)
    return error


def unreadable(name: str, error: Exception) -> RetryableError:
    """Return the error that says that an answer has no form that can be read.

    Args:
        name: The model, as `provider:model`.
        error: What was raised by reading it.
    """
    return RetryableError(f"{name}: the answer cannot be read: {_said(error)}")


def _of_status(name: str, error: Any) -> Exception:
    from pydantic_ai import exceptions as known

    status = error.status_code
    said = _message_of(error.body)
    if error.suggested_model_id:
        said += f"; did you mean {error.suggested_model_id}?"
    text = f"{name}: HTTP {status}{': ' if said else ''}{said}"
    hinted = error.provider_retry_hint
    if hinted is None:
        hinted = status in _RETRYABLE_STATUSES or status >= 500
        # Both come with statuses that mean something else elsewhere: 429 and 403.
        if isinstance(error, known.ModelQuotaExceededError):
            hinted = False
        elif isinstance(error, known.ModelUnavailableError):
            hinted = True
    if hinted:
        return RetryableError(text, retry_after=seconds_of(error.retry_after))
    return TerminalError(text)


def _of_group(name: str, group: Any) -> Exception:
    """Return the error of a group of failures: another attempt helps if it helps one of them."""
    found = [translated(name, each) for each in group.exceptions if isinstance(each, Exception)]
    text = f"{name}: all models failed: " + "; ".join(str(each) for each in found)
    hopeful = [each for each in found if isinstance(each, RetryableError)]
    if not hopeful:
        return TerminalError(_one_line(text))
    waits = [each.retry_after for each in hopeful if each.retry_after is not None]
    return RetryableError(_one_line(text), retry_after=min(waits, default=None))


def _is_transport(error: Exception) -> bool:
    if isinstance(error, ConnectionError | asyncio.TimeoutError):
        return True
    kinds = type(error).__mro__
    return any(
        kind.__module__.partition(".")[0] in _TRANSPORTS and _TRANSPORT_NAME.search(kind.__name__)
        for kind in kinds
    )


def _is_of_reading(error: Exception) -> bool:
    """Say whether something failed on an answer: not on the request, nor in code of the user's."""
    module = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__"))
        if frame.f_code.co_name in _READERS and module.partition(".")[0] in _LIBRARIES:
            return module not in _OF_THIS_PROCESS
    return module.startswith("pydantic_ai.embeddings.")  # they read where they have asked


def _message_of(body: Any) -> str:
    """Return what a provider says in the body of an error response."""
    found: Any = body
    for key in ("error", "message"):
        if isinstance(found, dict) and found.get(key):
            found = found[key]
    if isinstance(found, dict):
        found = found.get("detail") or found.get("Message") or found
    return "" if found is None else _one_line(str(found))


def _cause(error: BaseException) -> str:
    """Return the innermost cause of an error, which says more than its wrappers."""
    cause, depth = error, 0
    while cause.__cause__ is not None and depth < 8:
        cause, depth = cause.__cause__, depth + 1
    return "" if cause is error else f" ({_said(cause)})"


def _said(error: BaseException) -> str:
    text = _one_line(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
