"""Runs that wait, in every place where the command line shows them, and `perdure signal`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.inside import runs_of, runtime_of
from tests.patience import PATIENCE

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, RunStatus, action
from perdure.cli import drive
from perdure.cli.main import main
from perdure.engine.progress import Progress
from perdure.engine.waiting import WaitingWatch
from perdure.journal.record import decode_signal
from perdure.operate.history import History
from perdure.run import WaitInfo
from perdure.store.sqlite.view import SqliteView

FOR_EVER = 1000.0


submitted = threading.Event()  # not before the inputs have their numbers may runs start others
submitted.set()


def name(text: str) -> str:
    submitted.wait(PATIENCE)
    return text


async def never() -> None:
    await asyncio.sleep(FOR_EVER)


class Desk(Agent):
    """Answers, waits for a signal, starts a run that is due later, or is busy."""

    @action(InputEvent)
    async def work(self, event: InputEvent, ctx: Any) -> None:
        what = await ctx.durable_execute_async(name, event.input["do"])
        ctx.set_status(f"does {what}")
        if what == "ask":
            await ctx.submit({"do": "answer"}, key="later", delay=FOR_EVER)
            await ctx.submit({"do": "answer"}, key="now")
            await ctx.wait_for_signal("early")
            await ctx.wait_for_signal("approve")
        if what == "busy":
            await ctx.durable_execute_async(never)
        ctx.send_event(OutputEvent(output=what))


# r1 waits and has taken a signal; r2, queued behind it, has got one that nobody can take yet;
# r3 executes; r4 was started by r1 and is due later; r5 was, too, and is completed.
async def _fill(url: str) -> None:
    engine = LocalEngine(url, job="desk")
    submitted.clear()
    with contextlib.suppress(asyncio.CancelledError):
        async with engine.open(Desk) as job:
            asking = await job.submit({"do": "ask"}, key="a")
            queued = await job.submit({"do": "ask"}, key="a")
            await job.submit({"do": "busy"}, key="b")
            submitted.set()
            await job.signal(asking, "early", [1])
            await job.signal(queued, "early")
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until:
                if len(engine.runs()) == 5 and engine.run_info("r1").status is RunStatus.WAITING:
                    if engine.run_info("r3").activity and engine.run_info("r5").status.is_final:
                        break
                await asyncio.sleep(0.01)
            raise asyncio.CancelledError  # leaves everything as it is


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'runs.db'}"
    asyncio.run(_fill(url))
    return url


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command line: returns exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def row_of(out: str, start: str) -> str:
    return next(line.strip() for line in out.splitlines() if line.strip().startswith(start))


# Listings


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--status", "waiting"], ["r4", "r1"]),
        (["--status", "running"], ["r3"]),
        (["--status", "queued"], ["r2"]),
        (["--status", "completed"], ["r5"]),
        (["--status", "waiting", "--limit", "1"], ["r4"]),
        (["--status", "waiting", "--key", "a"], ["r1"]),
        (["--status", "waiting", "--key", "a", "--limit", "1"], ["r1"]),  # though r2 is newer
        (["--status", "queued", "--key", "a"], ["r2"]),
        (["--status", "running", "--key", "b"], ["r3"]),
    ],
)
def test_runs_are_found_by_how_they_stand(
    cli: Any, store: str, options: list[str], ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whole journals are never read for a listing.
    monkeypatch.delattr(SqliteView, "records")
    code, out, _ = cli("runs", "--json", "--store", store, *options)
    assert code == 0
    assert [run["id"] for run in json.loads(out)["runs"]] == ids


def test_a_run_that_was_put_back_is_queued_until_it_begins_again(tmp_path: Path) -> None:
    class Bad(Agent):
        @action(InputEvent)
        async def fail(self, event: InputEvent, ctx: Any) -> None:
            await ctx.durable_execute_async(name, 1)
            raise ValueError("no")

    async def fail_and_retry(engine: LocalEngine) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            async with engine.open(Bad) as job:
                await (await job.submit({}, key="a")).wait()
                # As when the process ends before the run has begun once more.
                runs_of(job).begin_nothing()
                runtime = runtime_of(job)
                assert await runtime.retry(runtime.job_number << 40 | 1)
                raise asyncio.CancelledError

    engine = LocalEngine(f"sqlite:///{tmp_path / 'runs.db'}")
    asyncio.run(fail_and_retry(engine))
    assert engine.run_info("r1").status is RunStatus.QUEUED
    assert [run.id for run in engine.runs(status=RunStatus.QUEUED)] == ["r1"]
    assert engine.runs(status=RunStatus.RUNNING) == []


def test_runs_show_what_is_done_and_when_what_is_delayed_is_due(cli: Any, store: str) -> None:
    _, out, _ = cli("runs", "--store", store)
    assert out.splitlines()[0].split()[-5:] == ["error", "due", "waits", "for", "activity"]
    assert row_of(out, "r1").split()[-4:] == ["signal", "approve", "does", "ask"]
    assert row_of(out, "r3").endswith("does busy")
    assert row_of(out, "r4").split()[3] == "waiting"
    assert re.search(r" \d+ [sm] ago +- +in 1[56] m", row_of(out, "r4"))
    assert "does" not in row_of(out, "r5")  # it is over
    assert out.splitlines()[-1] == "job desk: 1 completed, 4 unfinished (2 waiting)"
    _, out, _ = cli("runs", "--store", store, "--status", "completed")
    assert out.splitlines()[0].split()[-1] == "error"


def test_a_run_has_its_activity_and_its_time(store: str) -> None:
    with History.open(store) as history:
        job = history.choose_job(None)
        delayed, done = history.run(job, "r4"), history.run(job, "r5")
        assert history.run(job, "r1").activity == "does ask"
        assert history.run(job, "r2").activity is None
        assert done.activity == "does answer"
        assert [info.activity for info in history.runs(job, status=RunStatus.COMPLETED)] == [None]
    assert delayed.is_delayed
    assert FOR_EVER - 60 < (delayed.due - delayed.admitted_at) / 1e9 < FOR_EVER + 60
    assert (done.due, done.is_delayed) == (0, False)


def test_doctor_counts_waiting_runs(
    cli: Any, store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("perdure.store.sqlite.health.MEASURED_SECONDS", 0.01)
    monkeypatch.chdir(tmp_path)
    _, out, _ = cli("doctor", "--store", store)
    assert "job desk (1 completed, 4 unfinished (2 waiting))" in row_of(out, "ok   store")


# One run


def test_show_tells_what_a_run_waits_for(cli: Any, store: str) -> None:
    _, out, _ = cli("show", "r1", "--store", store)
    assert row_of(out, "activity").split(maxsplit=1)[1] == "does ask"
    assert row_of(out, "waits for").endswith("signal approve: perdure signal r1 approve VALUE")
    _, out, _ = cli("show", "r4", "--store", store)
    assert "its time: due 20" in row_of(out, "waits for")
    assert "in 16 m" in row_of(out, "waits for")
    for id_ in ("r2", "r3", "r5"):
        _, out, _ = cli("show", id_, "--store", store)
        assert "waits for" not in out


def test_show_tells_which_action_took_a_signal(cli: Any, store: str) -> None:
    _, out, _ = cli("show", "r1", "--store", store)
    row = row_of(out.partition("\nsignals")[2], "early")
    assert "work, on event 0" in row
    assert row.split()[-1] == "[1]"
    _, out, _ = cli("show", "r2", "--store", store)
    assert "no action yet" in row_of(out.partition("\nsignals")[2], "early")


def test_show_names_the_runs_it_started(cli: Any, store: str) -> None:
    _, out, _ = cli("show", "r1", "--store", store)
    started = out.partition("\nruns it started")[2]
    assert row_of(started, "r4").split()[1:6] == ["later", "waiting", "work,", "call", "2,"]
    assert row_of(started, "r5").split()[1:6] == ["now", "completed", "work,", "call", "3,"]
    _, out, _ = cli("show", "r1", "--json", "--store", store)
    children = json.loads(out)["children"]
    assert [(child["id"], child["run"]["status"]) for child in children] == [
        ("r4", "waiting"),
        ("r5", "completed"),
    ]


def test_trace_has_signals_and_started_runs(cli: Any, store: str) -> None:
    _, out, _ = cli("trace", "r1", "--store", store)
    assert "◇" in row_of(out, "signal early")
    assert "◇" in row_of(out, "took signal early")
    assert "═" in row_of(out, "run r4 (waiting)")
    assert "═" in row_of(out, "run r5 (completed)")
    assert max(len(line) for line in out.splitlines()) <= 101
    _, out, _ = cli("trace", "r2", "--store", store)
    assert "◇" in row_of(out, "signal early (not taken)")
    _, out, _ = cli("trace", "r4", "--store", store)
    assert "delayed by 16 m" in out
    assert "nothing is recorded of it yet: it is due 20" in out


def test_show_and_trace_tell_that_a_run_timed_out(cli: Any, tmp_path: Path) -> None:
    class Slow(Agent):
        @action(InputEvent)
        async def wait(self, event: InputEvent, ctx: Any) -> None:
            await ctx.wait_for_signal("go")

    async def run(engine: LocalEngine) -> None:
        async with engine.open(Slow) as job:
            await (await job.submit({}, key="a")).wait()

    url = f"sqlite:///{tmp_path / 'runs.db'}"
    asyncio.run(run(LocalEngine(url, config={"run-timeout": 0.05})))
    _, out, _ = cli("show", "r1", "--store", url)
    assert "it took longer than run-timeout allows" in row_of(out, "stopped")
    assert row_of(out, "action wait").endswith("timed out")
    _, out, _ = cli("trace", "r1", "--store", url)
    assert "─" in row_of(out, "wait, event 0 (timed out)")
    assert "◆" in row_of(out, "timed out")


# signal


@pytest.fixture
def own_store(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'own.db'}"

    async def fill() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            async with LocalEngine(url, job="desk").open(Desk) as job:
                await (await job.submit({"do": "answer"}, key="a")).wait()
                await job.submit({"do": "busy"}, key="b")
                raise asyncio.CancelledError

    asyncio.run(fill())
    return url


def sent(url: str) -> list[tuple[str, Any]]:
    with History.open(url) as history:
        commands = history.wait(history.awaited.view.commands(1, run=R2)).items
        decoded = [decode_signal(command.payload or b"") for command in commands]
        return [(name, history.awaited.codec.decode(value)) for name, value in decoded]


R2 = (1 << 40) + 2


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["true"], True),
        (['{"by": "ann", "sum": 1.5}'], {"by": "ann", "sum": 1.5}),
        (["[1, null]"], [1, None]),
        (['"quoted"'], "quoted"),
        (["plain text"], "plain text"),
        (["{broken"], "{broken"),
        (["NaN"], "NaN"),
        (["1e400 is a lot"], "1e400 is a lot"),
        ([""], ""),
        (["-5"], -5),
        (["-1.5e3"], -1500.0),
        (["-x"], "-x"),
        (["--", "--text"], "--text"),
        ([], None),
    ],
)
def test_signal_takes_json_and_else_text(
    cli: Any, own_store: str, arguments: list[str], value: Any
) -> None:
    code, out, err = cli("signal", "--store", own_store, "r2", "approve", *arguments)
    assert (code, err) == (0, "")
    assert sent(own_store) == [("approve", value)]
    shown = json.dumps(value)
    assert f"run r2 (key 'b') gets the signal approve = {shown}: no process runs job 'desk'" in out
    assert "the next `perdure run` of it takes it" in out


def test_a_signal_on_its_way_is_shown(cli: Any, own_store: str) -> None:
    cli("signal", "r2", "approve", "--store", own_store)
    cli("cancel", "r2", "--store", own_store)
    _, out, _ = cli("show", "r2", "--store", own_store)
    assert "signal approve, cancel: taken once a process runs its job" in row_of(out, "asked")


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["r1", "go"], 1, "run r1 is completed already"),
        (["r9", "go"], 1, "`perdure runs` lists it"),
        (["x", "go"], 1, "has no run 'x'"),
        (["r2", "", "1"], 2, "NAME is empty"),
        (["r2", "go", "--stor=x"], 2, "there is no option --stor=x"),
        (["r2", "--jon"], 2, "there is no option --jon"),
        (["r2", "go", "[" * 400 + "]" * 400], 1, "nested"),
        (["r2", "go", "[" * 100_000 + "]" * 100_000], 2, "VALUE is nested too deeply"),
        (["r2", "go", "[1e400]"], 2, "1e400 is larger than any number may be"),
    ],
)
def test_what_cannot_be_sent_is_said_in_one_line(
    cli: Any, own_store: str, arguments: list[str], code: int, expected: str
) -> None:
    found, out, err = cli("signal", "--store", own_store, *arguments)
    assert (found, out) == (code, "")
    assert err.startswith("perdure: ")
    assert err.count("\n") == 1
    assert expected in err
    assert sent(own_store) == []


# The end of `perdure run`


@pytest.mark.parametrize(
    ("late", "expected"),
    [(0, "3 calls made, 0 replayed; 1"), (1, "replayed, 1 late result dropped; 1"),
     (2, "replayed, 2 late results dropped; 1")],
)  # fmt: skip
def test_the_summary_tells_of_late_results_and_of_runs_that_wait(late: int, expected: str) -> None:
    shown = Shown()
    summary = drive.Summary(
        inputs=4, outputs=1, completed=1, failed=0, cancelled=0, waiting=3, calls_made=3,
        calls_replayed=0, retries=0, late_results=late, seconds=1.0,
    )  # fmt: skip
    drive._print_summary(SimpleNamespace(job="desk"), shown, summary, Progress())  # type: ignore[arg-type]
    assert "desk: 4 inputs (1 completed, 3 waiting); " in shown.notes[0]
    assert expected in shown.notes[0]


# The hint of `perdure run`


def wait(run: str, name: str, kind: str = "approval") -> WaitInfo:
    return WaitInfo(
        run=run, key="k", name=name, kind=kind, question=None, since=1, action="a", event=0
    )


class Shown:
    """A view that keeps what it is told, over a job with so many runs that wait."""

    seconds = 1.0

    def __init__(
        self,
        waiting: int = 0,
        delayed: int = 0,
        selection: str | None = "",
        *,
        named: bool = False,
    ) -> None:
        self.notes: list[str] = []
        self.counts = Progress(waiting=waiting + delayed, delayed=delayed)
        runs = [
            SimpleNamespace(id=f"r{n}", key="k", activity="asks ann", waits=[wait(f"r{n}", "pay")])
            for n in range(waiting)
        ]

        async def input_ids(_runs: list[Any]) -> dict[str, str]:
            return {"r0": "order 1"} if named else {}

        job: Any = SimpleNamespace(
            name="desk",
            progress=self.counts,
            waiting_runs=lambda: iter(runs),
            input_ids=input_ids,
        )
        self.hint = WaitingWatch(job, self.note, after=2.0, selection=selection)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def show(self, counts: Progress) -> None: ...

    def close(self) -> None: ...

    def look(self, since: int, until: int) -> list[str]:
        """Look every second, and return what was told."""
        self.notes.clear()

        async def look() -> None:
            for second in range(since, until):
                await self.hint.look(float(second))

        asyncio.run(look())
        return self.notes


def test_the_hint_says_what_is_waited_for_and_what_to_do() -> None:
    (note,) = Shown(1, selection=" --job desk").look(0, 1000)
    assert "1 run waits and nothing else is under way" in note
    assert "(r0, key 'k', for approval pay, says 'asks ann')" in note
    assert "answer: perdure approve r0 pay --job desk" in note
    assert "perdure inbox --job desk" in note
    (note,) = Shown(5, delayed=1).look(0, 1000)
    assert "5 runs wait" in note
    assert "and 2 more" in note
    (note,) = Shown(1, selection=None).look(0, 1000)
    assert "perdure approve" not in note  # no other process can look into a memory:// store


def test_the_hint_names_runs_by_the_ids_given_with_their_inputs() -> None:
    (note,) = Shown(2, selection=" --job desk", named=True).look(0, 1000)
    assert "(order 1, key 'k', for approval pay, says 'asks ann'; r1, key" in note
    assert "answer: perdure approve 'order 1' pay --job desk" in note


def test_the_hint_comes_when_nothing_else_is_done_for_a_while() -> None:
    shown = Shown(1)
    assert shown.look(0, 2) == []
    shown.counts.in_flight = 1
    assert shown.look(2, 100) == []
    shown.counts.in_flight = 0
    assert shown.look(100, 102) == []
    shown.counts.completed = 1
    assert shown.look(102, 104) == []
    assert len(shown.look(104, 105)) == 1


def test_the_hint_comes_again_when_others_wait_but_not_often() -> None:
    shown = Shown(2)
    assert len(shown.look(0, 10)) == 1
    shown.counts.completed, shown.counts.waiting = 1, 1
    assert shown.look(10, 60) == []
    assert len(shown.look(60, 70)) == 1


def test_runs_that_are_due_later_need_no_hint() -> None:
    assert Shown(delayed=3).look(0, 100) == []


def test_a_job_knows_which_of_its_runs_wait() -> None:
    async def main_() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            async with LocalEngine("memory://").open(Desk) as job:
                asking = await job.submit({"do": "ask"}, key=["a"])
                await job.submit({"do": "ask"}, key=["a"])  # queued behind it
                await job.submit({"do": "busy"}, key="b")
                # Two runs that it starts: one is due later, one comes to its end.
                while job.progress.completed < 1 or asking.status is not RunStatus.WAITING:
                    await asyncio.sleep(0.01)
                (run,) = job.waiting_runs()
                assert (run.id, run.key, run.activity) == (asking.id, ["a"], "does ask")
                assert (job.progress.waiting, job.progress.delayed) == (2, 1)
                raise asyncio.CancelledError  # leaves everything as it is

    asyncio.run(main_())


def test_show_says_how_to_approve_a_tool_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Careful(Agent):
        @action(InputEvent)
        async def ask(self, event: InputEvent, ctx: Any) -> None:
            await ctx.wait_for_approval("approve-1f2e3d4c", "refund(40)")

    async def main_() -> None:
        async with LocalEngine(f"sqlite:///{tmp_path}/s.db").open(Careful) as job:
            run = await job.submit(1, key=1)
            while run.status is not RunStatus.WAITING:
                await asyncio.sleep(0.005)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        asyncio.run(main_())
    assert main(["show", "r1", "--store", f"sqlite:///{tmp_path}/s.db"]) == 0
    out = capsys.readouterr().out
    assert "approval approve-1f2e3d4c (refund(40)): perdure approve r1 approve-1f2e3d4c" in out
