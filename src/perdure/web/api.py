"""The API: all its operations, in one list that routes and OpenAPI document are made of."""

from __future__ import annotations

from typing import Final

from perdure.web import (
    act_routes,
    detail_routes,
    list_routes,
    live_routes,
    meta_routes,
    metrics,
    run_routes,
    stream_routes,
)
from perdure.web.access import Role
from perdure.web.operations import Operation, Parameter
from perdure.web.schemas import ANSWER, ANYTHING, NEW_RUN, NOTHING, SIGNAL, STATUS, TEXT, ref

__all__ = ["OPERATIONS"]


def _whole(least: int, most: int, default: int) -> dict[str, int | str]:
    return {"type": "integer", "minimum": least, "maximum": most, "default": default}


_LAST = Parameter("Last-Event-ID", "The last id that was seen: go on behind it.", place="header")
_BEGIN = (
    Parameter("after", "Go on behind this number.", {"type": "integer", "minimum": 0}),
    _LAST,
)
_LIMIT = Parameter("limit", "Items at most.", _whole(1, 200, 50))
_RUNS = Operation(
    method="GET", path="/runs", handler=list_routes.runs, role=Role.READ, name="listRuns",
    text="The newest runs, newest first. A search in their texts, or from a time back, looks at"
    " some of them and says how far it looked; `after` goes on from there.",
    parameters=(
        Parameter("status", "Only those that stand so.", STATUS),
        Parameter("key", "Only those of this key: text, or its JSON."),
        Parameter("text", "Only those with this in id, key, input, activity, error or an output."),
        Parameter("since", "Admitted since, ms since the epoch.", _whole(0, list_routes.LATEST, 0)),
        Parameter("until", "Admitted until, ms since the epoch.", _whole(0, list_routes.LATEST, 0)),
        Parameter("after", "What the part before gave as `after`."),
        _LIMIT,
    ),
    answers={200: ref("Runs")},
)  # fmt: skip
_SUBMIT = Operation(
    method="POST", path="/runs", handler=run_routes.submit, role=Role.RUN, name="startRun",
    text="Start a run, which is durable when this is answered, or find the one that was started"
    " with the same id. With `wait`, what came of it: 201 for a new run, 200 for one that was"
    " there, also where it failed. Else, or when the time is over, 202 and its Location. A client"
    " that leaves cancels nothing.",
    parameters=(
        Parameter("Idempotency-Key", "The id, a text, where the body has none.", place="header"),
    ),
    body=NEW_RUN,
    answers={200: ref("Result"), 201: ref("Result"), 202: ref("Result")},
    problems=(409, 503),
)  # fmt: skip
_OF_RUNS = (
    Operation(
        method="GET", path="/runs/by-id", handler=run_routes.look_by_id, role=Role.READ,
        name="findRun", text="The run whose input was given with an id.",
        parameters=(Parameter("id", "The id.", is_required=True),),
        answers={200: ref("Run")}, problems=(404, 409),
    ),
    Operation(
        method="GET", path="/runs/{run}", handler=run_routes.look, role=Role.READ, name="getRun",
        text="A run with its result by now, by its short id or by the id that was given with its"
        " input; its values in full.",
        parameters=(
            Parameter(
                "wait", "Answer when it has ended, or this many seconds are over.",
                {"anyOf": [{"type": "number", "minimum": 0, "maximum": 60}, {"const": "true"}]},
            ),
        ),
        answers={200: ref("Run")}, problems=(404, 409),
    ),
    Operation(
        method="GET", path="/runs/{run}/outputs", handler=stream_routes.outputs, role=Role.READ,
        name="getOutputs", text="Its outputs by now; with `Accept: text/event-stream` as events"
        " `output`, with their numbers as ids, and `end` when the run has ended.",
        parameters=_BEGIN, answers={200: ref("Outputs")}, problems=(404, 409, 503), streams=True,
    ),
    Operation(
        method="GET", path="/runs/{run}/detail", handler=detail_routes.detail, role=Role.READ,
        name="getDetail", text="Everything that it did: what a timeline is drawn from. `records` is"
        " where /runs/{run}/stream goes on.",
        parameters=(
            Parameter("cut", "Bytes of JSON that values are cut to.", _whole(0, 4096, 4096)),
        ),
        answers={200: ref("Detail")}, problems=(404, 409),
    ),
    Operation(
        method="GET", path="/runs/{run}/records", handler=detail_routes.records, role=Role.READ,
        name="getRecords", text="Its journal, a record each, as it is.",
        parameters=(
            Parameter("after", "Number of the last one seen.", _whole(0, 2**40, 0)),
            Parameter("limit", "Records at most.", _whole(1, 5000, 1000)),
        ),
        answers={200: ref("Records")}, problems=(404, 409),
    ),
    Operation(
        method="GET", path="/runs/{run}/value", handler=detail_routes.value, role=Role.READ,
        name="getValue", text="One value in full, which lists have cut.",
        parameters=(Parameter("path", "Its path there.", is_required=True),),
        answers={200: ANYTHING}, problems=(404, 409),
    ),
    Operation(
        method="GET", path="/runs/{run}/stream", handler=stream_routes.run_stream,
        role=Role.READ, name="watchRun", text="Events `records` with the records of its journal as"
        " they are written; their ids count them. `reset`: begin anew. `end`: it has ended.",
        parameters=_BEGIN, problems=(404, 409, 503), streams=True,
    ),
)  # fmt: skip


def _act(name: str, operation: str, handler: object, text: str, body: object) -> Operation:
    return Operation(
        method="POST", path=f"/runs/{{run}}/{name}", handler=handler, role=Role.OPERATE,  # type: ignore[arg-type]
        name=operation, text=text, body=body,  # type: ignore[arg-type]
        answers={200: ref("Done")}, problems=(404, 409, 503),
    )  # fmt: skip


_ACTS = (
    _act("cancel", "cancelRun", act_routes.cancel, "Stop it: it will never complete.", NOTHING),
    _act("retry", "retryRun", act_routes.retry, "Put it back, when it failed or was cancelled; what"
         " succeeded before is not done again.", NOTHING),
    _act("signal", "signalRun", act_routes.signal, "Send it a signal, which is kept until an action"
         " waits for it.", SIGNAL),
    _act("approve", "answerRun", act_routes.approve, "Answer an approval that it waits for. The"
         " first answer counts; who gave it is the name of the token.", ANSWER),
)  # fmt: skip
_OF_JOB = (
    Operation(
        method="GET", path="/now", handler=list_routes.now, role=Role.READ, name="getNow",
        text="How many runs stand how, who waits longest for a person, and what this process has"
        " at work: its counts, and calls under way by state.", answers={200: ref("Now")},
    ),
    Operation(
        method="GET", path="/hour", handler=list_routes.hour, role=Role.READ, name="getHour",
        text="The last hour: calls that returned and that raised by minute, where there were any;"
        " the processes that had the job; the newest failures by kind. Before `known_since` the"
        " journal was not looked at yet: ask again.",
        parameters=(
            Parameter("since", "Count failed runs since, ms since the epoch; else a day back.",
                      _whole(0, list_routes.LATEST, 0)),
        ),
        answers={200: ref("Hour")},
    ),
    Operation(
        method="GET", path="/summaries", handler=list_routes.summaries, role=Role.READ,
        name="getSummaries", text="Heads of runs with what their calls were, for lists. Those that"
        " it had no time for are `left`: ask for them again.",
        parameters=(
            Parameter("runs", "Their short ids, with commas; 100 at most.", is_required=True),
        ),
        answers={200: ref("Summaries")},
    ),
    Operation(
        method="GET", path="/inbox", handler=list_routes.inbox, role=Role.READ, name="getInbox",
        text="What runs wait for from outside, those that wait longest first.",
        parameters=(_LIMIT,), answers={200: ref("Inbox")},
    ),
    Operation(
        method="GET", path="/failures", handler=list_routes.failures, role=Role.READ,
        name="getFailures", text="The newest failed runs, in groups of one kind and place.",
        parameters=(Parameter("limit", "Runs looked at, at most.", _whole(1, 10_000, 2000)),),
        answers={200: ref("Failures")},
    ),
    Operation(
        method="GET", path="/stream", handler=stream_routes.job_stream, role=Role.READ,
        name="watchJob", text="Events `change` with the ids of runs of which something is new. The"
        " first is `position`, to read everything behind; `reset`: read everything again. Their"
        " ids are positions, which outlive the connection and the service.",
        parameters=(Parameter("since", "A position."), _LAST), problems=(503,), streams=True,
    ),
    Operation(
        method="GET", path="/live", handler=live_routes.live, role=Role.READ, name="getLive",
        text="What the job does now, at most a second old: calls with what each waits for, threads,"
        " limits. Only the process that has the job sees it: elsewhere `is_visible` is false.",
        parameters=(Parameter("run", "Only calls of the run with this short id."),),
        answers={200: ref("Live")},
    ),
    Operation(
        method="GET", path="/processes", handler=live_routes.processes, role=Role.READ,
        name="listProcesses", text="The processes that had the job, the newest first: one that was"
        " killed is a crash, after which its calls without an outcome are made again.",
        answers={200: ref("Processes")},
    ),
    Operation(
        method="GET", path="/job", handler=meta_routes.job, role=Role.READ, name="getJob",
        text="Whose job this is, and what the token may do.", answers={200: ref("Job")},
    ),
    Operation(
        method="GET", path="/metrics", handler=metrics.metrics, role=Role.READ, name="getMetrics",
        text="What the process that runs the job measures, for Prometheus; as OpenMetrics where"
        " that is asked for.", media_type="text/plain", answers={200: TEXT}, problems=(404,),
    ),
)  # fmt: skip
_PROBES = (
    Operation(
        method="GET", path="/healthz", handler=meta_routes.health, role=None, name="getHealth",
        text="The process answers.", answers={200: ref("Health")},
    ),
    Operation(
        method="GET", path="/readyz", handler=meta_routes.readiness, role=None,
        name="getReadiness", text="The store can be read, and where a job is served runs may be"
        " started: it is open, and its store writes.",
        answers={200: ref("Health"), 503: ref("Health")},
    ),
)  # fmt: skip
OPERATIONS: Final = (_RUNS, _SUBMIT, *_OF_RUNS, *_ACTS, *_OF_JOB, *_PROBES)
