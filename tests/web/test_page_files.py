"""The page's files: who gets them, with which headers, and how large they are."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.web.support import TOKENS, client_of, served

import perdure.web

PAGE = Path(perdure.web.__file__).with_name("page")
FILES = sorted(path for path in PAGE.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]


def addresses(text: str) -> list[str]:
    return re.findall(r'(?:src|href)="(/[^"]+)"', text)


@pytest.mark.parametrize("prefix", ["", "/perdure"])
async def test_the_page_is_had_without_a_token_and_tells_of_nothing(prefix: str) -> None:
    async with served(token=None, prefix=prefix) as (client, _):
        for path in {f"{prefix}/", prefix, "/"} - {""}:
            index = await client.get(path)
            assert (index.status_code, index.headers["cache-control"]) == (200, "no-cache")
            assert index.headers["content-type"] == "text/html; charset=utf-8"
            policy = index.headers["content-security-policy"]
            assert "script-src 'self';" in policy
            assert "unsafe" not in policy
            assert "desk" not in index.text
            found = addresses(index.text)
            assert len(found) >= 4
            for address in found:
                file = await client.get(address)
                assert address.startswith(f"{prefix}/page/")
                assert (file.status_code, "immutable" in file.headers["cache-control"]) == (
                    200, True,
                )  # fmt: skip
                assert file.headers["x-content-type-options"] == "nosniff"
                tag = {"If-None-Match": file.headers["etag"]}
                again = await client.get(address, headers=tag)
                assert (again.status_code, again.content) == (304, b"")


async def test_the_page_finds_its_files_where_an_application_mounts_it() -> None:
    async with served(token=None) as (_, job):
        mounted = Starlette(routes=[Mount("/agents", perdure.web.app(job, tokens=TOKENS))])
        async with client_of(mounted, None) as client:
            for address in addresses((await client.get("/agents/")).text):
                assert address.startswith("/agents/page/")
                assert (await client.get(address)).status_code == 200


async def test_files_are_packed_for_who_takes_that() -> None:
    async with served(token=None) as (client, _):
        address = next(a for a in addresses((await client.get("/")).text) if a.endswith(".js"))
        plain = await client.get(address, headers={"Accept-Encoding": "identity"})
        packed = await client.get(address, headers={"Accept-Encoding": "gzip, br"})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.text == plain.text == (PAGE / "main.js").read_text("utf-8")
        sizes = [int(each.headers["content-length"]) for each in (plain, packed)]
        assert sizes[1] < sizes[0] / 2 < len(plain.content)
        assert plain.headers["vary"] == packed.headers["vary"] == "accept-encoding"


async def test_only_files_of_the_page_are_handed_out() -> None:
    async with served(token=None) as (client, _):
        (folder,) = {path.rsplit("/", 1)[0] for path in addresses((await client.get("/")).text)}
        for path in (
            "index.html", "nothing.js", "../page_files.py", "..%2fpage_files.py", "", "/etc/passwd",
            "main.js/", "%00",
        ):  # fmt: skip
            assert (await client.get(f"{folder}/{path}")).status_code in (401, 404)
        assert (await client.get("/page/0123456789abcdef/main.js")).status_code == 404
        assert (await client.post("/", json={})).status_code == 405


async def test_a_foreign_host_gets_no_page() -> None:
    async with served(token=None, hosts=["desk"]) as (client, _):
        for path in ("/", "/page/x/main.js"):
            refused = await client.get(path, headers={"Host": "evil.example"})
            assert refused.status_code == 421


def test_all_files_together_are_small() -> None:
    assert sum(path.stat().st_size for path in FILES) < 200_000
    packed = sum(len(gzip.compress(path.read_bytes())) for path in FILES)
    assert packed < 80_000


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_make_no_html_of_text_and_ask_nobody_else(path: Path) -> None:
    text = path.read_text("utf-8")
    for refused in (
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function",
        "setAttribute(\"style", "srcdoc", "DOMParser",
    ):  # fmt: skip
        assert refused not in text
    assert set(re.findall(r"https?://[^\s\"'`]+", text)) <= {"http://www.w3.org/2000/svg"}
    for imported in re.findall(r'from "([^"]+)"', text):
        assert (path.parent / imported).resolve() in FILES
