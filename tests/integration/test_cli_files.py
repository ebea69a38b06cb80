"""`perdure run` with files as people have them: shared, replaced, misplaced, killed half way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from perdure.cli.main import main

COMMAND = str(Path(sys.executable).with_name("perdure"))
LIMIT_SECONDS = 60

AGENT = """
import os, signal
from perdure import Agent, InputEvent, JsonlSink, OutputEvent, action

class Echo(Agent):
    @action(InputEvent)
    async def echo(self, event, ctx):
        ctx.send_event(OutputEvent(output={"n": event.input["n"]}))

agent = Echo()
write = JsonlSink.write

async def write_and_die(self, outputs):
    await write(self, outputs)
    cut = os.environ.get("CUT")
    if cut:  # as if the disk had not taken the rest
        os.truncate(self.path, os.path.getsize(self.path) - int(cut))
    os.kill(os.getpid(), signal.SIGKILL)

if os.environ.get("DIE"):
    JsonlSink.write = write_and_die
"""

HOLDER = """
import asyncio, sys
from perdure import JsonlSink
sink = JsonlSink("out.jsonl")
asyncio.run(sink.open(None))
print("held", flush=True)
sys.stdin.read()
"""


class Done(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line of stderr: the error, if there was one."""
        assert "Traceback" not in self.err
        return self.err.splitlines()[-1]


class Folder:
    """A folder with an agent, and commands run in it: here, or in a process of their own."""

    def __init__(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.path = path
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        (path / "echo.py").write_text(AGENT, "utf-8")

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def perdure(self, *arguments: str, inside: str = ".") -> Done:
        with self._monkeypatch.context() as patch:
            patch.chdir(self.path / inside)
            patch.setattr(sys, "path", [*sys.path])
            patch.delitem(sys.modules, "echo", raising=False)
            code = main(arguments)
            sys.modules.pop("echo", None)
        return Done(code, *self._capsys.readouterr())

    def run(self, *options: str, inside: str = ".") -> Done:
        return self.perdure(*arguments(*options), inside=inside)

    def process(self, *options: str, stdout: Any = subprocess.PIPE, **environment: str) -> Done:
        done = subprocess.run(
            [COMMAND, *arguments(*options)], cwd=self.path, env={**os.environ, **environment},
            text=True, stdout=stdout, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
            timeout=LIMIT_SECONDS,
        )  # fmt: skip
        return Done(done.returncode, done.stdout or "", done.stderr)


def arguments(*options: str) -> list[str]:
    given = ["run", "echo.py", "--key", "id"]
    if "--input" not in options:
        given += ["--input", "in.jsonl"]
    return [*given, *options]


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Folder:
    return Folder(tmp_path, monkeypatch, capsys)


def inputs(path: Path, numbers: Sequence[int]) -> None:
    path.write_text("".join(f'{{"id": {n}, "n": {n}}}\n' for n in numbers), "utf-8")


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["n"] for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("option", ["--output", "--summary-json"])
def test_an_empty_path_of_what_is_written_is_refused(folder: Folder, option: str) -> None:
    inputs(folder / "in.jsonl", [1])
    done = folder.run(option, "")
    assert done.code != 0
    assert "empty: give the path of a file" in done.last
    assert done.out == ""


# G28: the sink


def test_g28_two_jobs_may_write_to_a_file_in_turn_and_cut_nothing_of_each_other(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    for job, given in (("mon", [1, 2]), ("tue", [3, 4])):
        inputs(folder / f"{job}.jsonl", given)
        done = folder.run("--job", job, "--input", f"{job}.jsonl", "--output", "all.jsonl")
        assert done.code == 0
    before = (folder / "all.jsonl").read_bytes()
    inputs(folder / "mon.jsonl", [1, 2, 5])
    mon = ("--job", "mon", "--input", "mon.jsonl", "--output", "all.jsonl")
    done = folder.run(*mon)
    assert done.code == 1
    assert done.last.startswith("perdure: output file all.jsonl has 18 bytes behind byte 18")
    assert (folder / "all.jsonl").read_bytes() == before
    assert folder.run("--job", "tue", "--input", "tue.jsonl", "--output", "all.jsonl").code == 0

    done = folder.run(*mon, "--output-behind", "keep")
    assert (done.code, numbers(folder / "all.jsonl")) == (0, [1, 2, 3, 4, 5])
    assert "it goes on behind them" in caplog.text


@pytest.mark.parametrize("options", [(), ("--envelope",)])
@pytest.mark.parametrize("cut", ["", "1", "5"])
def test_g4_g28_a_kill_between_file_and_store_leaves_each_output_once(
    folder: Folder, options: tuple[str, ...], cut: str
) -> None:
    inputs(folder / "in.jsonl", range(5))
    wanted = ("--output", "out.jsonl", *options)
    assert folder.run(*wanted).code == 0
    inputs(folder / "in.jsonl", range(9))
    killed = folder.process(*wanted, DIE="1", CUT=cut)
    assert killed.code == -signal.SIGKILL
    assert len((folder / "out.jsonl").read_bytes().splitlines()) > 5
    assert folder.run(*wanted).code == 0
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text("utf-8").splitlines()]
    found = [line["value"]["n"] for line in lines] if options else [line["n"] for line in lines]
    assert sorted(found) == list(range(9))
    assert found[:5] == list(range(5))


@pytest.mark.parametrize("behind", ["keep", "move"])
def test_g28_a_restored_store_is_behind_its_output_and_says_so(folder: Folder, behind: str) -> None:
    inputs(folder / "in.jsonl", range(3))
    wanted = ("--output", "out.jsonl")
    assert folder.run(*wanted).code == 0
    shutil.copy(folder / "perdure.db", folder / "backup.db")  # no job has it open
    inputs(folder / "in.jsonl", range(6))
    assert folder.run(*wanted).code == 0
    for file in folder.path.glob("perdure.db*"):
        file.unlink()
    shutil.copy(folder / "backup.db", folder / "perdure.db")
    done = folder.run(*wanted)
    assert done.code == 1
    assert "the store is behind its output" in done.last
    assert sorted(numbers(folder / "out.jsonl")) == list(range(6))
    assert folder.run(*wanted, "--output-behind", behind).code == 0
    if behind == "keep":
        assert sorted(numbers(folder / "out.jsonl")) == [0, 1, 2, 3, 3, 4, 4, 5, 5]
    else:
        assert sorted(numbers(folder / "out.jsonl")) == list(range(6))
        assert sorted(numbers(folder / "out.jsonl.orphaned-1")) == [3, 4, 5]
    assert folder.run(*wanted).code == 0


def test_g28_one_file_has_one_job_at_a_time(folder: Folder) -> None:
    inputs(folder / "in.jsonl", range(2))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=folder.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        os.link(folder / "out.jsonl", folder / "link.jsonl")
        for name in ("out.jsonl", "link.jsonl"):
            done = folder.run("--job", name, "--output", name)
            assert done.code == 1
            assert f"output file {name} is being written by another job" in done.last
    finally:
        holder.communicate("")
    assert folder.run("--output", "out.jsonl").code == 0


# Two things that are one file


@pytest.mark.parametrize("link", ["same", "hard link", "symbolic link", "pattern"])
def test_an_output_that_is_an_input_is_refused(folder: Folder, link: str) -> None:
    inputs(folder / "in.jsonl", range(3))
    before = (folder / "in.jsonl").read_bytes()
    output = "in.jsonl" if link in ("same", "pattern") else "out.jsonl"
    if link == "hard link":
        os.link(folder / "in.jsonl", folder / output)
    elif link == "symbolic link":
        (folder / output).symlink_to("in.jsonl")
    given = "i*.jsonl" if link == "pattern" else "in.jsonl"
    done = folder.run("--input", given, "--output", output)
    assert done.code == 2
    assert f"--output {output} is the same file as --input in.jsonl" in done.last
    assert (folder / "in.jsonl").read_bytes() == before
    assert not (folder / "perdure.db").exists()


@pytest.mark.parametrize(
    "output",
    ["perdure.db", "./perdure.db", "perdure.db-wal", "perdure.db-echo.agent.lock", "link.db"],
)
@pytest.mark.parametrize("is_new", [True, False])
def test_an_output_that_is_the_store_is_refused(folder: Folder, output: str, is_new: bool) -> None:
    inputs(folder / "in.jsonl", range(3))
    if not is_new:
        assert folder.run().code == 0
    if output == "link.db":
        (folder / output).symlink_to("perdure.db")
    done = folder.run("--output", output)
    assert done.code == 1
    assert f"output {output} is the same file as perdure.db" in done.last
    assert (folder / "perdure.db").exists() is not is_new
    assert folder.run().code == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--output", "echo.py"), "--output echo.py is the same file as the agent's file echo.py"),
        (("--output", "c.yaml", "--config", "c.yaml"), "as --config c.yaml"),
        (("--output", "o.jsonl", "--summary-json", "o.jsonl"), "as --output o.jsonl"),
        (("--summary-json", "in.jsonl"), "--summary-json in.jsonl is the same file as --input"),
        (("--summary-json", "echo.py"), "as the agent's file echo.py"),
    ],
)
def test_what_is_written_is_none_of_what_is_read(
    folder: Folder, options: tuple[str, ...], named: str
) -> None:
    inputs(folder / "in.jsonl", range(3))
    (folder / "c.yaml").write_text("num-async-threads: 2\n", "utf-8")
    before = {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}
    done = folder.run(*options)
    assert done.code == 2
    assert named in done.last
    after = {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}
    assert after == before


STORE = ("perdure.db", "perdure.db-wal", "perdure.db-shm", "perdure.db-echo.agent.lock")
LINKS = ("symbolic.json", "hard.json")


@pytest.mark.parametrize("summary", [*STORE, "perdure.db-other.lock", "x/../perdure.db", *LINKS])
def test_a_summary_that_is_the_stores_is_refused(folder: Folder, summary: str) -> None:
    inputs(folder / "in.jsonl", range(3))
    assert folder.run("--output", "out.jsonl").code == 0
    (folder / "x").mkdir()
    (folder / "symbolic.json").symlink_to("perdure.db")
    os.link(folder / "perdure.db-echo.agent.lock", folder / "hard.json")
    store = (folder / "perdure.db").read_bytes()
    done = folder.run("--output", "out.jsonl", "--summary-json", summary)
    assert done.code == 2
    assert f"--summary-json {summary} is the same file as" in done.last
    assert (folder / "perdure.db").read_bytes() == store
    assert (folder / "hard.json").samefile(folder / "perdure.db-echo.agent.lock")
    (folder / "hard.json").unlink()
    assert folder.run("--output", "out.jsonl").code == 0


@pytest.mark.parametrize(
    ("summary", "says"), [("no/s.json", "there is no folder"), (".", "is a folder")]
)
def test_a_summary_that_cannot_be_written_is_said_before_anything_runs(
    folder: Folder, summary: str, says: str
) -> None:
    inputs(folder / "in.jsonl", range(3))
    done = folder.run("--summary-json", summary)
    assert (done.code, done.out) == (2, "")
    assert f"--summary-json {summary}" in done.last
    assert says in done.last
    assert not (folder / "perdure.db").exists()


def test_a_summary_goes_where_a_link_leads_and_the_link_stays(folder: Folder) -> None:
    inputs(folder / "in.jsonl", range(3))
    (folder / "link.json").symlink_to("s.json")
    for _ in range(2):
        assert folder.run("--output", "out.jsonl", "--summary-json", "link.json").code == 0
        assert (folder / "link.json").is_symlink()
        assert json.loads((folder / "s.json").read_text("utf-8"))["inputs"] == 3


def test_a_summary_is_written_into_a_pipe_and_a_descriptor(folder: Folder) -> None:
    inputs(folder / "in.jsonl", range(3))
    os.mkfifo(folder / "pipe")
    # Both ends at once: neither has to wait for the other.
    reading = os.open(folder / "pipe", os.O_RDWR | os.O_NONBLOCK)
    try:
        for path in ("pipe", f"/dev/fd/{reading}"):
            assert folder.run("--output", "out.jsonl", "--summary-json", path).code == 0
            assert json.loads(os.read(reading, 10_000))["inputs"] == 3
    finally:
        os.close(reading)
    assert (folder / "pipe").is_fifo()


@pytest.mark.parametrize("file", [*STORE, "echo.py", "in.jsonl", "out.jsonl", *LINKS])
@pytest.mark.parametrize("form", ["json", "html", "perfetto"])
def test_a_runs_file_is_never_the_stores_nor_one_that_is_another(
    folder: Folder, file: str, form: str
) -> None:
    inputs(folder / "in.jsonl", range(3))
    assert folder.run("--output", "out.jsonl").code == 0
    (folder / "symbolic.json").symlink_to("perdure.db")
    os.link(folder / "perdure.db-echo.agent.lock", folder / "hard.json")
    before = {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}
    done = folder.perdure("trace", "r1", "--format", form, "-o", file)
    assert done.code == 2
    assert f"--output {file}" in done.last
    after = {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}
    assert after == before


def test_outputs_are_not_given_beside_a_store_as_a_file_of_it(folder: Folder) -> None:
    inputs(folder / "in.jsonl", range(3))
    assert folder.run("--output", "out.jsonl").code == 0
    done = folder.perdure("outputs", "--output", "perdure.db-wal")
    assert done.code == 2
    assert "of the store: give another file" in done.last
    assert not (folder / "perdure.db-wal").exists()


# Streams


@pytest.mark.parametrize("output", [(), ("--output", "-"), ("--output", "/dev/stdout")])
def test_outputs_to_standard_output(folder: Folder, output: tuple[str, ...]) -> None:
    inputs(folder / "in.jsonl", range(5))
    done = folder.run("--quiet", *output)
    assert done.code == 0
    assert sorted(json.loads(line)["n"] for line in done.out.splitlines()) == list(range(5))
    again = folder.run("--quiet", *output)
    assert (again.code, again.out) == (0, "")


def test_standard_output_may_be_a_file_and_the_same_again(folder: Folder) -> None:
    inputs(folder / "in.jsonl", range(3))
    for count in (3, 5):
        inputs(folder / "in.jsonl", range(count))
        with (folder / "out.jsonl").open("wb") as file:
            done = folder.process("--output", "/dev/stdout", stdout=file)
        assert done.code == 0, done.err
    assert sorted(numbers(folder / "out.jsonl")) == [3, 4]


def test_a_named_pipe_takes_outputs_and_gives_inputs(folder: Folder) -> None:
    os.mkfifo(folder / "pipe")
    inputs(folder / "in.jsonl", range(5))
    with subprocess.Popen(
        [COMMAND, *("run echo.py --job second --input pipe --key n --output out.jsonl".split())],
        cwd=folder.path, stderr=subprocess.PIPE, text=True,
    ) as second:  # fmt: skip
        done = folder.run("--job", "first", "--output", "pipe")
        assert done.code == 0, done.err
        _, err = second.communicate(timeout=LIMIT_SECONDS)
        assert second.returncode == 0, err
    assert sorted(numbers(folder / "out.jsonl")) == list(range(5))


def test_g4_a_reader_that_goes_away_gets_the_rest_the_next_time(folder: Folder) -> None:
    inputs(folder / "in.jsonl", range(5))
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as gone:
        done = folder.process(stdout=gone)
    assert done.code == 1
    assert done.last == (
        "perdure: standard output was closed: the rest is kept; run the same again to get it"
    )
    again = folder.run("--quiet")
    assert again.code == 0
    assert sorted(json.loads(line)["n"] for line in again.out.splitlines()) == list(range(5))


# Names


def test_a_name_stands_for_one_file(folder: Folder) -> None:
    for day, given in (("a", [1, 2]), ("b", [1, 2, 3])):  # the second begins like the first
        (folder / day).mkdir()
        inputs(folder / day / "part-1.jsonl", given)
    first = ("--input", "a/part-1.jsonl", "--output", "a/out.jsonl")
    assert folder.run(*first).code == 0
    done = folder.run("--input", "b/part-1.jsonl", "--output", "a/out.jsonl")
    assert done.code == 1
    assert "b/part-1.jsonl and " in done.last
    assert "would both be the source 'part-1.jsonl' of this job" in done.last
    second = ("--input", "b/part-1.jsonl", "--source-name", "b", "--output", "b/out.jsonl")
    done = folder.run(*second)
    assert done.code == 1
    assert "would both be the sink 'jsonl:out.jsonl' of this job" in done.last
    assert not (folder / "b" / "out.jsonl").exists()
    assert folder.run(*second, "--sink-name", "b").code == 0
    assert numbers(folder / "a" / "out.jsonl") == [1, 2]
    assert numbers(folder / "b" / "out.jsonl") == [1, 2, 3]
    assert folder.run(*first).code == 0


@pytest.mark.parametrize("how", ["moved", "copied", "linked"])
def test_a_project_may_be_moved_with_its_files(folder: Folder, how: str) -> None:
    old, new = folder / "old", folder / "new"
    old.mkdir()
    shutil.copy(folder / "echo.py", old)
    inputs(old / "in.jsonl", range(3))
    assert folder.run("--output", "out.jsonl", inside="old").code == 0
    if how == "moved":
        old.rename(new)
    elif how == "copied":
        shutil.copytree(old, new)
    else:
        new.symlink_to(old)
    inputs(new / "in.jsonl", range(5))
    done = folder.run("--output", "out.jsonl", inside="new")
    assert done.code == 0, done.err
    assert sorted(numbers(new / "out.jsonl")) == list(range(5))


def test_several_files_are_one_input_and_may_become_more(folder: Folder) -> None:
    inputs(folder / "part-1.jsonl", [1, 2])
    inputs(folder / "part-10.jsonl", [5])
    wanted = ("--input", "part-*.jsonl", "--output", "out.jsonl")
    assert folder.run(*wanted).code == 0
    inputs(folder / "part-2.jsonl", [3, 4])
    done = folder.run(*wanted)
    assert done.code == 0
    assert "5 inputs (5 completed, 3 finished before)" in done.err
    assert sorted(numbers(folder / "out.jsonl")) == [1, 2, 3, 4, 5]
    done = folder.run("--input", "nothing-*.jsonl")
    assert done.code == 2
    assert "no file matches nothing-*.jsonl" in done.last


# Refusals


def test_g28_a_refusal_has_counts_and_the_command_that_goes_on(folder: Folder) -> None:
    (folder / "in.jsonl").write_text('{"id": 1, "n": 1}\noops\n{"id": 2, "n": 2}\n', "utf-8")
    done = folder.run("--output", "out.jsonl", "--summary-json", "s.json")
    assert done.code == 1
    counts, advice, command, error = done.err.splitlines()[-4:]
    assert counts.startswith("echo.agent: 1 input (1 completed)")
    assert advice.startswith("to go on once that is mended, run the same again:")
    assert command.strip().startswith("perdure run echo.py --key id --input in.jsonl")
    assert error.startswith("perdure: in.jsonl:2: not JSON at column 1")
    assert json.loads((folder / "s.json").read_text("utf-8"))["completed"] == 1
    assert numbers(folder / "out.jsonl") == [1]

    done = folder.run("--output", "out.jsonl", "--on-bad-line", "skip", "--summary-json", "s.json")
    assert done.code == 0
    assert "1 bad line passed over; see which, and why: perdure runs --bad-lines" in done.err
    assert json.loads((folder / "s.json").read_text("utf-8"))["bad_lines"] == 1
    assert numbers(folder / "out.jsonl") == [1, 2]
    shown = folder.perdure("runs", "--bad-lines").out
    assert "not JSON at column 1" in shown
    assert "job echo.agent: 1 bad line passed over" in shown
    found: dict[str, Any] = json.loads(folder.perdure("runs", "--bad-lines", "--json").out)
    assert (found["count"], found["bad_lines"][0]["line"]) == (1, 2)


def test_an_option_of_two_words_is_checked_before_anything_is_run(folder: Folder) -> None:
    inputs(folder / "in.jsonl", [1])
    for option in ("--on-bad-line", "--output-behind"):
        done = folder.run(option, "maybe")
        assert done.code == 2
        assert "'maybe' is not one of" in done.last
    assert not (folder / "perdure.db").exists()
