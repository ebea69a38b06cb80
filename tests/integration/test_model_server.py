"""ScriptedModelServer: what it answers, how it fails, and the log that outlives its clients."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.patience import PATIENCE

from perdure.errors import ConfigurationError
from perdure.llm.message import ToolCall
from perdure.testing.model_server import (
    Answer,
    ModelRequest,
    ScriptedModelServer,
    spawned_server,
)
from perdure.testing.request_log import RequestLog


def posted(url: str, text: str = "hello", path: str = "/v1/chat/completions", **more: Any) -> Any:
    """Send one request and return status, headers and body."""
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        connection.request("POST", path, json.dumps(body))
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def answered(url: str, *args: Any, **kwargs: Any) -> Any:
    status, _, body = posted(url, *args, **kwargs)
    assert status == 200
    return json.loads(body)


def test_a_script_that_is_no_function_is_refused() -> None:
    for given in (5, ["answer"]):
        with pytest.raises(ConfigurationError, match="is no script: give a function of a request"):
            ScriptedModelServer(given)  # type: ignore[arg-type]


def test_without_a_script_it_says_the_last_message_again() -> None:
    with ScriptedModelServer() as server:
        found = answered(server.url, "good day")
    choice = found["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("good day", "stop")
    assert found["usage"] == {
        "prompt_tokens": 2,
        "completion_tokens": 2,
        "total_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def test_without_a_script_it_fits_a_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}, "minItems": 1},
            "size": {"enum": ["s", "m"]},
        },
        "required": ["name", "parts", "size"],
        "$defs": {
            "part": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        },
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with ScriptedModelServer() as server:
        found = answered(server.url, response_format=wanted)
    content = json.loads(found["choices"][0]["message"]["content"])
    assert content == {"name": "text", "parts": [{"n": 1}], "size": "s"}


def test_tool_calls() -> None:
    call = ToolCall(id="c1", name="search", arguments={"q": "x"})
    with ScriptedModelServer(lambda request: call) as server:
        choice = answered(server.url)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"] == [
        {
            "id": "c1",
            "type": "function",
            "function": {"name": "search", "arguments": '{"q": "x"}'},
        }
    ]


def test_stream() -> None:
    with ScriptedModelServer(lambda request: "one two") as server:
        _, headers, body = posted(server.url, stream=True, stream_options={"include_usage": True})
    assert headers["Content-Type"] == "text/event-stream"
    lines = [line.removeprefix("data: ") for line in body.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == "one two"
    assert chunks[-1]["usage"]["completion_tokens"] == 2


def test_a_script_sees_how_often_a_request_has_come() -> None:
    def script(request: ModelRequest) -> Any:
        if request.attempt == 1:
            return Answer(status=429, text="wait", headers={"Retry-After": "3"})
        return "fine"

    with ScriptedModelServer(script) as server:
        status, headers, body = posted(server.url)
        assert (status, headers["Retry-After"]) == (429, "3")
        assert json.loads(body)["error"]["message"] == "wait"
        assert posted(server.url, "another")[0] == 429
        assert posted(server.url)[0] == 200


def test_dropped_connection() -> None:
    with ScriptedModelServer(lambda request: Answer(drop=True)) as server:
        with pytest.raises(http.client.RemoteDisconnected):
            posted(server.url)
        assert server.log.requests()[0]["status"] == 0


def test_what_a_script_raises_is_an_error_of_the_server() -> None:
    def script(request: ModelRequest) -> Any:
        raise LookupError("no such answer")

    with ScriptedModelServer(script) as server:
        status, _, body = posted(server.url)
    assert status == 500
    assert "no such answer" in body


class Foreign(BaseException):
    pass


@pytest.mark.parametrize("raised", [Foreign("no"), SystemExit("no"), asyncio.CancelledError("no")])
def test_what_is_no_exception_is_an_error_of_the_server_too(raised: BaseException) -> None:
    def script(request: ModelRequest) -> Any:
        raise raised

    with ScriptedModelServer(script) as server:
        for _ in range(2):  # it goes on
            status, _, body = posted(server.url)
            assert status == 500
            assert type(raised).__name__ in body


def test_a_server_that_is_started_is_not_started_again() -> None:
    server = ScriptedModelServer()
    server.start()
    with pytest.raises(RuntimeError, match="started already: close it first"):
        server.start()
    server.close()
    with server:  # closed, it may be
        assert answered(server.url, "again")


def test_a_coroutine_function_may_be_the_script() -> None:
    async def script(request: ModelRequest) -> str:
        return request.text.upper()

    with ScriptedModelServer(script) as server:
        assert answered(server.url, "x")["choices"][0]["message"]["content"] == "X"


def test_embeddings_and_models() -> None:
    with ScriptedModelServer() as server:
        found = answered(
            server.url, path="/v1/embeddings", input=["red apple", "apple, red", "blue sky"]
        )
        assert posted(server.url, path="/v1/other")[0] == 404
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE)
        connection.request("GET", "/v1/models")
        models = json.loads(connection.getresponse().read())
        connection.close()
    one, same, other = (each["embedding"] for each in found["data"])
    assert one == same
    assert one != other
    assert models["data"][0]["id"] == "scripted"


def test_the_log_tells_repeated_requests_from_those_that_were_in_flight(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"

    def script(request: ModelRequest) -> Any:
        return Answer(drop=request.text == "lost" and request.attempt == 1)

    with ScriptedModelServer(script, log=log) as server:
        posted(server.url, "once")
        with pytest.raises(http.client.RemoteDisconnected):
            posted(server.url, "lost")
    with ScriptedModelServer(script, log=log) as server:  # continues the log
        posted(server.url, "lost")
        assert server.log.repeated() == []
        posted(server.url, "once")
        assert [entry["message"] for entry in server.log.repeated()] == ["once"]
    known = RequestLog(log)
    assert [(e["message"], e["attempt"], e["status"]) for e in known.requests()] == [
        ("once", 1, 200),
        ("lost", 1, 0),
        ("lost", 2, 200),
        ("once", 2, 200),
    ]


def test_a_closed_server_leaves_no_socket_of_a_client_that_does_not_read() -> None:
    server = ScriptedModelServer(lambda request: "long " * 4_000_000)
    server.start()
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as client:
        body = json.dumps({"messages": [{"role": "user", "content": "hello"}]})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall((head + body).encode())
        assert client.recv(1)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            server.close()
            gc.collect()
    assert [str(each.message) for each in told] == []


def test_a_half_written_line_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"event": "request", "number": 1, "digest": "a"}\n{"event": "resp')
    log = RequestLog(path)
    log.response(log.request("b"), 200)
    log.close()
    again = RequestLog(path)
    again.close()
    assert [(e["digest"], e["status"]) for e in again.requests()] == [("a", None), ("b", 200)]


def test_in_a_process_of_its_own_it_outlives_a_killed_client(tmp_path: Path) -> None:
    script, log = tmp_path / "answers.py", tmp_path / "log.jsonl"
    script.write_text(
        textwrap.dedent(
            """
            from perdure.testing.model_server import Answer

            def answer(request):
                return Answer(text="late", delay=30.0 if request.text == "slow" else 0.0)
            """
        )
    )
    client = (
        "import sys, urllib.request as r\n"
        'body = b\'{"messages": [{"role": "user", "content": "slow"}]}\'\n'
        "r.urlopen(r.Request(sys.argv[1] + '/chat/completions', body))"
    )
    with spawned_server(f"{script}:answer", log=log) as url:
        with subprocess.Popen([sys.executable, "-c", client, url]) as process:
            while not RequestLog(log).requests():
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
        assert answered(url, "quick")["choices"][0]["message"]["content"] == "late"
        while RequestLog(log).requests()[-1]["status"] is None:  # noted once it has gone out
            time.sleep(0.01)
    texts = [(entry["message"], entry["status"]) for entry in RequestLog(log).requests()]
    assert texts == [("slow", None), ("quick", 200)]


def test_a_script_that_is_not_there_is_named() -> None:
    command = [sys.executable, "-m", "perdure.testing.model_server", "--script", "nowhere.py:x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert "nowhere.py" in done.stderr
