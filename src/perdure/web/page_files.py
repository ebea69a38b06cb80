"""The page: its files, and the routes that hand them out.

There is no build step: what lies in the folder `page` is what a browser gets. The files are below
a folder named after what they all have in them, so that a browser keeps them for good, and a page
never has files of two versions.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import hashlib
import html
from pathlib import Path
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["BELOW", "ROOT", "page_routes"]

ROOT: Final = "/"  # where the page is
BELOW: Final = "/page/"  # below which its files are

_FOLDER = Path(__file__).with_name("page")
_INDEX = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Scripts and styles are files of this service alone, nothing is made of HTML text, and nobody may
# show the page within another.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
_FOR_GOOD = "public, max-age=31536000, immutable"


class _Files(NamedTuple):
    """All files of the page, by their paths below its folder, and what names them together."""

    by_path: dict[str, bytes]
    packed: dict[str, bytes]
    digest: str


@functools.cache
def _files() -> _Files:
    """Read the files; once a process, since they change with the package alone."""
    found = {
        path.relative_to(_FOLDER).as_posix(): path.read_bytes()
        for path in sorted(_FOLDER.rglob("*"))
        if path.suffix in _TYPES
    }
    digest = hashlib.sha256()
    for name, data in found.items():
        digest.update(b"%s\0%d\0%s" % (name.encode(), len(data), data))
    packed = {name: gzip.compress(data, mtime=0) for name, data in found.items()}
    return _Files(found, packed, digest.hexdigest()[:16])


def page_routes() -> list[Route]:
    """Return the routes of the page; they tell of no run, so they ask for no token."""
    return [
        Route(ROOT, _index, methods=["GET"]),
        Route(BELOW + "{digest}/{path:path}", _file, methods=["GET"]),
    ]


async def _index(request: Request) -> Response:
    files = await asyncio.to_thread(_files)
    root = html.escape(request.scope.get("root_path", ""), quote=True)
    # Addresses from the root on: the page may have been asked for without the last slash.
    text = files.by_path[_INDEX].decode()
    text = text.replace('="page/', f'="{root}{BELOW}{files.digest}/')
    return _answer(request, text.encode(), _INDEX, "no-cache")


async def _file(request: Request) -> Response:
    files = await asyncio.to_thread(_files)
    path = request.path_params["path"]
    data = files.by_path.get(path)
    if data is None or request.path_params["digest"] != files.digest or path == _INDEX:
        raise HTTPException(404)
    answer = _answer(request, data, path, _FOR_GOOD)
    if answer.status_code == 200 and "gzip" in request.headers.get("accept-encoding", ""):
        packed = Response(files.packed[path], headers=answer.headers)
        packed.headers["content-length"] = str(len(packed.body))
        packed.headers["content-encoding"] = "gzip"
        answer = packed
    answer.headers["vary"] = "accept-encoding"
    return answer


def _answer(request: Request, data: bytes, path: str, kept: str) -> Response:
    tag = f'"{hashlib.sha256(data).hexdigest()[:24]}"'
    headers = {"cache-control": kept, "content-security-policy": _POLICY, "etag": tag}
    given = request.headers.get("if-none-match", "")
    if tag in (each.strip().removeprefix("W/") for each in given.split(",")):
        return Response(status_code=304, headers=headers)
    headers["content-type"] = _TYPES[path[path.rindex(".") :]]
    return Response(data, headers=headers)
