"""What a failed request to a provider means for the call that made it."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from pydantic_ai import exceptions as known

from perdure.errors import ConfigurationError, RetryableError, TerminalError
from perdure.integrations.llm_errors import filtered, translated, unusable

NAME = "openai:gpt-5"


def of_status(
    status: int, body: Any = None, headers: Any = None, category: Any = None
) -> Exception:
    error = known.ModelHTTPError.for_category(
        category, status_code=status, model_name="gpt-5", body=body, headers=headers
    )
    return translated(NAME, error)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_statuses_that_pass_are_retryable(status: int) -> None:
    assert type(of_status(status)) is RetryableError


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
def test_other_statuses_are_terminal(status: int) -> None:
    assert type(of_status(status)) is TerminalError


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after-ms": "250", "Retry-After": "7"}, 0.25),
        ({}, None),
        ({"Retry-After": "soon"}, None),
    ],
)
def test_the_provider_says_when_to_come_again(headers: Any, seconds: float | None) -> None:
    error = of_status(429, headers=headers)
    assert isinstance(error, RetryableError)
    assert error.retry_after == seconds


def test_the_provider_says_whether_to_come_again() -> None:
    assert type(of_status(429, headers={"x-should-retry": "false"})) is TerminalError
    assert type(of_status(400, headers={"x-should-retry": "true"})) is RetryableError


def test_an_exhausted_quota_is_terminal_though_it_is_a_429() -> None:
    assert type(of_status(429, category=known.ModelQuotaExceededError)) is TerminalError


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "slow\n  down"}}, "slow down"),
        ({"message": "slow down"}, "slow down"),
        ({"error": "slow down"}, "slow down"),
        ({"detail": "slow down"}, "slow down"),
        ("slow down", "slow down"),
    ],
)
def test_the_message_is_one_line_with_what_the_provider_says(body: Any, said: str) -> None:
    assert str(of_status(429, body)) == f"openai:gpt-5: HTTP 429: {said}"


def test_a_message_is_cut_where_it_is_long() -> None:
    assert len(str(of_status(400, "x" * 5000))) < 600


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (known.ModelConnectionError("m", "Connection error."), RetryableError),
        (known.ModelTimeoutError("m", "Request timed out."), RetryableError),
        (known.ModelOverloadedError("m", "overloaded"), RetryableError),
        (known.ModelAPIError("m", "something"), RetryableError),
        (known.ModelContextWindowExceededError("m", "too long"), TerminalError),
        (known.ModelQuotaExceededError("m", "pay"), TerminalError),
        (known.UnexpectedModelBehavior("not JSON"), RetryableError),
        (known.ContentFilterError("withheld"), TerminalError),
        (known.UserError("Native structured output is not supported."), ConfigurationError),
        (httpx2.ConnectError("refused"), RetryableError),
        (httpx2.ReadTimeout(""), RetryableError),
        (ConnectionResetError("reset"), RetryableError),
        (TimeoutError(), RetryableError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_errors_without_a_status(error: Exception, meaning: type[Exception]) -> None:
    found = translated(NAME, error)
    assert type(found) is meaning
    assert NAME in str(found)
    assert "\n" not in str(found)


def test_what_is_no_failure_of_a_provider_stays_as_it_is() -> None:
    error = ValueError("a bug")
    assert translated(NAME, error) is error


def test_the_cause_of_a_lost_connection_is_told() -> None:
    error = known.ModelConnectionError("m", "Connection error.")
    error.__cause__ = httpx2.ConnectError("no route to host")
    assert str(translated(NAME, error)).endswith("(ConnectError: no route to host)")


def test_a_group_is_retryable_where_one_of_it_is() -> None:
    terminal = known.ModelHTTPError(400, "a")
    busy = known.ModelHTTPError(429, "b", headers={"retry-after": "3"})
    found = translated(NAME, known.FallbackExceptionGroup("all", [terminal, busy]))
    assert isinstance(found, RetryableError)
    assert found.retry_after == 3
    found = translated(NAME, known.FallbackExceptionGroup("all", [terminal]))
    assert type(found) is TerminalError


def test_a_refusal_is_told() -> None:
    assert "I must not" in str(filtered(NAME, {"refusal": "I must not"}))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ImportError('use the optional group — `pip install "pydantic-ai-slim[anthropic]"`'),
            "pip install 'pydantic-ai-slim[anthropic]'",
        ),
        (
            known.UserError("Set the `ANTHROPIC_API_KEY` environment variable or pass it"),
            "set ANTHROPIC_API_KEY or pass api_key=",
        ),
        (
            known.UserError("Set the `OLLAMA_BASE_URL` environment variable or pass it"),
            "set OLLAMA_BASE_URL or pass base_url=",
        ),
    ],
    ids=["package", "key", "address"],
)
def test_what_is_missing_is_named(error: Exception, said: str) -> None:
    found = unusable("some:model", error)
    assert type(found) is ConfigurationError
    assert said in str(found)
    assert "'some:model'" in str(found)
