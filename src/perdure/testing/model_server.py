"""ScriptedModelServer: an OpenAI-compatible model server whose answers are a script.

It speaks real HTTP over loopback, so that clients, retries, streams and broken connections are
real; only the model is not. It has `/v1/chat/completions` with tools, JSON schemas and streams,
`/v1/embeddings` and `/v1/models`. It keeps a log of its own, to hold against a journal::

    python -m perdure.testing.model_server --script answers.py:answer --port 8000 --log log.jsonl
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import hashlib
import inspect
import json
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from perdure.codec.error_texts import class_name, text_of
from perdure.errors import ConfigurationError
from perdure.executor.shutdown import ends_process
from perdure.testing.model_server_answers import (
    Answer,
    ModelRequest,
    as_answer,
    chunks_of,
    completion_of,
    echo,
)
from perdure.testing.request_log import RequestLog
from perdure.testing.scripted_embedding import word_embedding

__all__ = ["Answer", "ModelRequest", "ScriptedModelServer", "spawned_server"]

Script = Callable[[ModelRequest], Any]

_DIMENSIONS: Final = 64
_LONGEST_HEAD: Final = 64 * 1024
_REASONS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests"}


class ScriptedModelServer:
    """A model server on a thread of its own.

    As in `with ScriptedModelServer(lambda request: "Hello.") as server:`; its address for clients
    is `server.url`.

    The script is a function of the request: a ModelRequest, which says how often the same one has
    come. It returns an Answer, a text, a ChatMessage, a ToolCall or a list of them; anything else
    is answered as JSON. It may be a coroutine function. Without one the server says the last
    message again. What it raises is answered with status 500.

    Owns its thread and socket from `start` until `close`. A log that exists is continued, and what
    is in it counts among the attempts.
    """

    def __init__(
        self, script: Script | None = None, *, port: int = 0, log: str | Path | None = None
    ) -> None:
        """Take the script; nothing is opened yet.

        Args:
            script: What it answers.
            port: Where it listens on loopback; 0 for any free port.
            log: A JSONL file, appended to; None keeps the log in memory.

        Raises:
            ConfigurationError: The script is no function.
        """
        if script is not None and not callable(script):
            raise ConfigurationError(
                f"ScriptedModelServer: {script!r:.60} is no script: give a function of a request"
            )
        self._script = script or echo
        self._port = port
        self.log = RequestLog(log)
        self._seen = collections.Counter(entry["digest"] for entry in self.log.requests())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """The base URL for clients, up to `/v1`."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> ScriptedModelServer:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def start(self) -> None:
        """Serve on a thread, until `close`; returns when it listens.

        Raises:
            OSError: The port is taken.
            RuntimeError: It is started already.
        """
        if self._thread is not None and self._thread.is_alive():
            raise RuntimeError(f"the model server at {self.url} is started already: close it first")
        ready = threading.Event()
        failed: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(self.serve(ready.set))
            except BaseException as error:  # handed to the thread that waits
                failed.append(error)
                ready.set()

        self._thread = threading.Thread(target=run, name="scripted-model-server", daemon=True)
        self._thread.start()
        ready.wait()
        if failed:
            raise failed[0]

    def close(self) -> None:
        """Stop serving; open connections are closed."""
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.log.close()

    async def serve(self, ready: Callable[[], Any]) -> None:
        """Serve on this loop until `close`.

        Args:
            ready: Called when it listens and the url is known.
        """
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        handlers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        stopping = False

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if stopping:
                writer.transport.abort()
                return
            task = asyncio.get_running_loop().create_task(self._connection(reader, writer))
            handlers[task] = writer
            task.add_done_callback(handlers.pop)

        server = await asyncio.start_server(
            connected, "127.0.0.1", self._port, backlog=4096, limit=_LONGEST_HEAD
        )
        self._port = server.sockets[0].getsockname()[1]
        ready()
        try:
            await self._stop.wait()
        finally:
            stopping = True
            server.close()
            # A task that has not begun closes nothing, and a close waits for a slow reader.
            for task, writer in list(handlers.items()):
                task.cancel()
                writer.transport.abort()
            await asyncio.gather(*handlers, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                while await self._exchange(reader, writer):
                    pass
            finally:
                writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        data = await reader.readexactly(int(headers.get("content-length", 0)))
        path = path.partition("?")[0]
        if method == "GET" and path == "/v1/models":
            models = [{"id": "scripted", "object": "model", "created": 0, "owned_by": "perdure"}]
            return await _send_json(writer, 200, {"object": "list", "data": models})
        if method != "POST" or path not in ("/v1/chat/completions", "/v1/embeddings"):
            return await _send_json(writer, 404, _error(f"there is no {method} {path}"))
        try:
            body = json.loads(data)
        except ValueError:
            return await _send_json(writer, 400, _error("the body is not JSON"))
        return await self._answer(self._request(path, body, headers), writer)

    def _request(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> ModelRequest:
        known = json.dumps([path, body], sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(known.encode()).hexdigest()
        self._seen[digest] += 1
        return ModelRequest(
            path=path, body=body, headers=headers, digest=digest, attempt=self._seen[digest]
        )

    async def _answer(self, request: ModelRequest, writer: asyncio.StreamWriter) -> bool:
        number = self.log.request(
            request.digest,
            path=request.path,
            model=request.body.get("model"),
            attempt=request.attempt,
            message=request.text[:200],
        )
        try:
            if request.path == "/v1/embeddings":
                await _send_json(writer, 200, _embeddings(request))
                self.log.response(number, 200)
                return True
            answer = await self._scripted(request)
            if answer.delay:
                await asyncio.sleep(answer.delay)
            if answer.drop:
                self.log.response(number, 0)
                return False
            if answer.body is not None:
                await _send_body(writer, request, answer)
            elif answer.status >= 400:
                body = _error(answer.text or "as the script says", answer.status)
                await _send_json(writer, answer.status, body, answer.headers)
            elif request.body.get("stream"):
                if not await _send_stream(writer, request, answer):
                    self.log.response(number, 0)
                    return False
            else:
                await _send_json(writer, 200, completion_of(request, answer), answer.headers)
        except ConnectionError:
            self.log.response(number, 0)
            raise
        self.log.response(number, answer.status)
        return True

    async def _scripted(self, request: ModelRequest) -> Answer:
        try:
            found = self._script(request)
            return as_answer(await found if inspect.isawaitable(found) else found)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise  # the server is closed
            return Answer(text="CancelledError", status=500)
        except BaseException as error:  # whatever the script raises
            if ends_process(error):
                raise
            return Answer(text=f"{class_name(type(error))}: {text_of(error)}", status=500)


def _embeddings(request: ModelRequest) -> dict[str, Any]:
    given = request.body.get("input", "")
    texts = given if isinstance(given, list) else [given]
    dimensions = request.body.get("dimensions") or _DIMENSIONS
    data = [
        {"object": "embedding", "index": index, "embedding": word_embedding(text, dimensions)}
        for index, text in enumerate(texts)
    ]
    tokens = sum(len(text.split()) for text in texts)
    return {
        "object": "list",
        "data": data,
        "model": request.body.get("model", "scripted"),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _error(message: str, status: int = 400) -> dict[str, Any]:
    return {"error": {"message": message, "type": "scripted_error", "code": None, "status": status}}


def _head(status: int, headers: Any) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Scripted')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _send_json(
    writer: asyncio.StreamWriter, status: int, body: Any, headers: Any = None
) -> bool:
    data = json.dumps(body).encode()
    sent = {"Content-Type": "application/json", "Content-Length": len(data), **(headers or {})}
    writer.write(_head(status, sent) + data)
    await writer.drain()
    return True


async def _send_body(writer: asyncio.StreamWriter, request: ModelRequest, answer: Answer) -> None:
    """Send the body of an answer as the script has it; a list of pieces as events of a stream."""
    body, kind = answer.body, "application/json"
    if isinstance(body, list) and request.body.get("stream"):
        kind = "text/event-stream"
        texts = (piece if isinstance(piece, str) else json.dumps(piece) for piece in body)
        body = "".join(f"data: {text}\n\n" for text in texts).encode()
    elif not isinstance(body, bytes):
        body = json.dumps(body).encode()
    sent = {"Content-Type": kind, "Content-Length": len(body), **answer.headers}
    writer.write(_head(answer.status, sent) + body)
    await writer.drain()


async def _send_stream(writer: asyncio.StreamWriter, request: ModelRequest, answer: Answer) -> bool:
    """Send server-sent events; return False where the script breaks them off."""
    sent = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **answer.headers}
    writer.write(_head(200, sent))
    for index, chunk in enumerate(chunks_of(request, answer)):
        if answer.cut is not None and index >= answer.cut:
            await writer.drain()
            return False
        _write_event(writer, json.dumps(chunk))
        await writer.drain()
    _write_event(writer, "[DONE]")
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


def _write_event(writer: asyncio.StreamWriter, text: str) -> None:
    data = f"data: {text}\n\n".encode()
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


@contextlib.contextmanager
def spawned_server(
    script: str | None = None, *, port: int = 0, log: str | Path | None = None
) -> Iterator[str]:
    """Run a server in a process of its own and yield its url; it outlives a killed job.

    Args:
        script: `FILE:FUNCTION`.
        port: Where it listens; 0 for any free port.
        log: A JSONL file; read it with `RequestLog(log)`.
    """
    command = [sys.executable, "-m", "perdure.testing.model_server", "--port", str(port)]
    command += ["--script", script] if script else []
    command += ["--log", str(log)] if log else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            if not url:
                raise ConfigurationError("the model server ended before it listened")
            yield url
        finally:
            process.terminate()


def script_named(name: str) -> Script:
    """Return the function that `FILE:FUNCTION` names.

    Raises:
        ConfigurationError: There is none.
    """
    file, _, function = name.rpartition(":")
    if not file:
        raise ConfigurationError(f"--script {name!r} is not FILE:FUNCTION")
    try:
        found = runpy.run_path(file).get(function)
    except OSError as error:
        raise ConfigurationError(f"--script: {file!r} cannot be read: {error}") from None
    if not callable(found):
        raise ConfigurationError(f"--script: {file!r} has no function {function!r}")
    script: Script = found
    return script


def main() -> None:
    """Run a server until it is interrupted; its url is the first line that it prints."""
    parser = argparse.ArgumentParser(prog="python -m perdure.testing.model_server")
    parser.add_argument("--script", metavar="FILE:FUNC", help="what it answers; else an echo")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--log", metavar="FILE", help="a JSONL file that it appends to")
    given = parser.parse_args()
    try:
        script = script_named(given.script) if given.script else None
    except ConfigurationError as error:
        parser.error(str(error))
    server = ScriptedModelServer(script, port=given.port, log=given.log)

    def ready() -> None:
        os.write(sys.stdout.fileno(), f"{server.url}\n".encode())

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server.serve(ready))


if __name__ == "__main__":
    main()
