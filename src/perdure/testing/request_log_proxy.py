"""RequestLogProxy: passes requests on to a model server and logs them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import selectors
import socket
import threading
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from perdure.testing.request_log import RequestLog

__all__ = ["RequestLogProxy"]

_PIECE: Final = 64 * 1024


class RequestLogProxy:
    """Stands before an HTTP server on loopback and logs what is asked of it by POST.

    A request is logged when it comes in, its end when the answer has gone out whole. Whoever hangs
    up hangs up on the server too, so that it stops computing; that is logged as status 0.

    Owns a socket and threads, one for each open connection, from `start` until the process ends.
    """

    def __init__(self, upstream: str, *, port: int = 0, log: RequestLog) -> None:
        """Bind the socket.

        Args:
            upstream: `http://HOST:PORT` of the server.
            port: Where it listens; 0 for any free port.
            log: Takes the requests, with `path` and `message`, the text of the last message.

        Raises:
            OSError: The port is taken.
        """
        address = urlsplit(upstream)

        class Handler(_Handler):
            server_address = (address.hostname or "127.0.0.1", address.port or 80)
            request_log = log

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._log = log
        self._server = Server(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        """`http://HOST:PORT` for clients."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        """Serve on a daemon thread."""
        threading.Thread(target=self._server.serve_forever, name="request-log", daemon=True).start()

    def settle(self, seconds: float) -> None:
        """Wait until the end of each request is logged, at most so long.

        A client has its answer a moment before the log says so.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if all(request["status"] is not None for request in self._log.requests()):
                return
            time.sleep(0.01)


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client; its requests come one after another."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_address: tuple[str, int]
    request_log: RequestLog

    def do_GET(self) -> None:
        """Pass a request on."""
        with contextlib.suppress(OSError, HTTPException):
            self._pass_on(b"")

    def do_POST(self) -> None:
        """Pass a request on and log it."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        number = self.request_log.request(
            hashlib.sha256(body).hexdigest(), path=self.path, message=_last_message(body)
        )
        status = 0
        try:
            status = self._pass_on(body)
        except (OSError, HTTPException):
            self.close_connection = True
        finally:
            self.request_log.response(number, status)

    def _pass_on(self, body: bytes) -> int:
        """Return the status of the answer; 0 when the client hung up before there was one."""
        upstream = HTTPConnection(*self.server_address)
        try:
            kind = self.headers.get("Content-Type") or "application/json"
            upstream.request(self.command, self.path, body or None, {"Content-Type": kind})
            if not self._is_waited_for(upstream.sock):
                self.close_connection = True
                return 0
            with upstream.getresponse() as response:
                self._answer(response)
                return response.status
        finally:
            upstream.close()

    def _is_waited_for(self, upstream: socket.socket) -> bool:
        """Wait for the answer; return False when the client hangs up first."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.connection, selectors.EVENT_READ)
            selector.register(upstream, selectors.EVENT_READ)
            if any(key.fileobj is upstream for key, _ in selector.select()):
                return True
            # Nothing else is due from the client: one request at a time, says its HTTP library.
            return bool(self.connection.recv(1, socket.MSG_PEEK))

    def _answer(self, response: HTTPResponse) -> None:
        self.send_response_only(response.status, response.reason)
        self.send_header("Content-Type", response.getheader("Content-Type") or "application/json")
        length = response.getheader("Content-Length")
        if length is not None:
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(response.read())
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := response.read1(_PIECE):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""


def _last_message(body: bytes) -> str | None:
    """Return the text of the last message that a request to a chat model holds."""
    try:
        content = json.loads(body)["messages"][-1]["content"]
    except (ValueError, LookupError, TypeError):
        return None
    return content if isinstance(content, str) else None
