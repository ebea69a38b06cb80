"""JSON schemas of what the API takes and gives, as its OpenAPI document has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "integer"}
FLAG: Final[Schema] = {"type": "boolean"}
ANYTHING: Final[Schema] = {"description": "Any JSON value."}
TIME: Final[Schema] = {"type": ["number", "null"], "description": "Milliseconds since the epoch."}


def maybe(schema: Schema) -> Schema:
    """Return the schema of what may be null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def ref(name: str) -> Schema:
    """Return a reference to one of COMPONENTS."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(schema: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def form(properties: Mapping[str, Schema], *optional: str, closed: bool = False) -> Schema:
    """Return the schema of an object; a closed one may have nothing else."""
    made: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    if required := [name for name in properties if name not in optional]:
        made["required"] = required
    return {**made, "additionalProperties": False} if closed else made


STATUS: Final[Schema] = {
    "type": "string",
    "enum": ["queued", "running", "waiting", "completed", "failed", "cancelled"],
}
_SPAN: Final[Schema] = {"type": "number", "description": "Milliseconds."}
_RESULT = {
    "id": TEXT,
    "status": STATUS,
    "outputs": listed(ANYTHING),
    "error": maybe(ref("Error")),
}
_HEAD = {
    "sequence": NUMBER,
    "title": TEXT,
    "input_id": maybe(TEXT),
    "attempts": NUMBER,
    "waits": listed(ref("Wait")),
    "admitted_at": TIME,
    "finished_at": TIME,
    "due": TIME,
}
_GROUP = form(
    {
        "type": TEXT, "place": maybe(TEXT), "message": TEXT, "count": NUMBER,
        "first": TIME, "last": TIME, "example": TEXT, "runs": listed(TEXT),
    }
)  # fmt: skip
_LOOKED = form({"runs": NUMBER, "oldest": TIME, "all": FLAG}, "oldest")

COMPONENTS: Final[Mapping[str, Schema]] = {
    "Problem": form({"type": TEXT, "title": TEXT, "status": NUMBER, "detail": TEXT}),
    "Error": form(
        {"type": TEXT, "message": TEXT, "notes": listed(TEXT), "place": TEXT, "traceback": TEXT},
        "traceback",
    ),
    "Value": {
        "description": "A value, or how its JSON text begins, with where all of it is.",
        "oneOf": [
            form({"value": ANYTHING}, closed=True),
            form({"cut": TEXT, "bytes": NUMBER, "path": TEXT}, closed=True),
        ],
    },
    "Wait": form(
        {
            "run": TEXT, "title": TEXT, "key": ANYTHING, "name": TEXT, "kind": TEXT,
            "question": maybe(TEXT), "since": TIME, "action": TEXT, "event": NUMBER,
        }
    ),
    "Result": form(_RESULT),
    "Run": form({**_RESULT, "key": ANYTHING, **_HEAD, "activity": ANYTHING}),
    "RunHead": form(
        {
            "id": TEXT, "key": ref("Value"), "status": STATUS, "error": maybe(ref("Error")),
            "input": ref("Value"), "activity": maybe(ref("Value")), **_HEAD,
        }
    ),
    "Runs": form(
        {"runs": listed(ref("RunHead")), "after": maybe(TEXT), "looked": _LOOKED}, "looked"
    ),
    "Summaries": form(
        {
            "runs": listed(
                {
                    "allOf": [
                        ref("RunHead"),
                        form(
                            {
                                "work": form(
                                    {
                                        "calls": NUMBER, "failed_calls": NUMBER,
                                        "input_tokens": NUMBER, "output_tokens": NUMBER,
                                        "cost": {"type": ["number", "null"]},
                                        "map": listed(listed(ANYTHING)),
                                    }
                                )
                            }
                        ),
                    ]
                }
            ),
            "left": listed(TEXT),
        }
    ),
    "Outputs": form(
        {
            "id": TEXT,
            "status": STATUS,
            "outputs": listed(form({"number": NUMBER, "id": TEXT, "value": ANYTHING})),
        }
    ),
    "Call": form(
        {
            "number": NUMBER, "function": TEXT, "arguments": TEXT, "status": TEXT,
            "attempts": NUMBER, "outcome": maybe(ref("Value")), "error": maybe(ref("Error")),
            "usage": {"type": ["object", "null"]}, "started_at": TIME, "settled_at": TIME,
            "due_at": TIME, "superseded": FLAG,
            "waited": form({"thread": _SPAN, "limit": _SPAN, "retries": _SPAN}),
        }
    ),
    "Action": form(
        {
            "name": TEXT, "event": NUMBER, "event_type": TEXT, "status": TEXT, "started_at": TIME,
            "finished_at": TIME, "cancelled_at": TIME, "timers": listed(TIME),
            "calls": listed(ref("Call")),
        }
    ),
    "Detail": form(
        {
            "run": ref("RunHead"), "records": NUMBER, "span": listed(TIME),
            "processes": listed(ref("Process")),
            "events": listed({"type": "object"}), "actions": listed(ref("Action")),
            "memory": listed({"type": "object"}), "outputs": listed({"type": "object"}),
            "retried_at": listed(TIME), "signals": listed({"type": "object"}),
            "children": listed({"type": "object"}), "stopped": maybe(TEXT), "stopped_at": TIME,
            "commands": listed(TEXT),
        }
    ),
    "Process": form(
        {
            "number": NUMBER, "host": TEXT, "pid": NUMBER, "begun_at": TIME, "seen_at": TIME,
            "ended_at": TIME, "code": maybe(TEXT), "status": TEXT,
        }
    ),
    "Processes": form({"count": NUMBER, "processes": listed(ref("Process"))}),
    "Live": form(
        {
            "is_visible": FLAG, "at": TIME, "calls": listed(ref("LiveCall")),
            "calls_by_state": {"type": "object", "additionalProperties": NUMBER},
            "pool": {"type": "object"}, "limits": {"type": "object"}, "in_flight": NUMBER,
            "waiting": NUMBER, "queued": NUMBER, "store_writes": FLAG,
        },
        "at", "calls", "calls_by_state", "pool", "limits", "in_flight", "waiting", "queued",
        "store_writes",
    ),
    "LiveCall": form(
        {
            "run": TEXT, "event": NUMBER, "action": TEXT, "number": NUMBER, "function": TEXT,
            "arguments": TEXT, "state": TEXT, "since": TIME, "attempt": NUMBER, "due": TIME,
        }
    ),
    "Record": form(
        {
            "number": NUMBER, "kind": TEXT, "event": NUMBER, "action": maybe(TEXT),
            "settlement": maybe(NUMBER), "call": maybe(NUMBER), "function": maybe(TEXT),
            "detail": maybe(TEXT), "size": NUMBER, "started_at": TIME, "at": TIME,
        }
    ),
    "Records": form({"run": TEXT, "records": listed(ref("Record")), "after": maybe(NUMBER)}),
    "Done": form({"id": TEXT, "status": STATUS}),
    "Inbox": form({"count": NUMBER, "waits": listed(ref("Wait"))}),
    "Failures": form(
        {
            "groups": listed(_GROUP),
            "looked": _LOOKED,
        }
    ),
    "Now": form(
        {
            "job": TEXT, "at": TIME, "is_running": FLAG,
            "runs": {"type": "object", "additionalProperties": NUMBER},
            "waiting_for_people": NUMBER, "longest_waiting": listed(ref("Wait")),
            "process": {"type": "object", "additionalProperties": NUMBER},
            "calls": {"type": "object", "additionalProperties": NUMBER}, "writes": FLAG,
        },
        "process", "calls", "writes",
    ),
    "Hour": form(
        {
            "at": TIME, "known_since": TIME,
            "minutes": listed(form({"at": TIME, "returned": NUMBER, "raised": NUMBER})),
            "processes": listed(ref("Process")), "failed": form({"runs": NUMBER, "all": FLAG}),
            "failures": listed(_GROUP),
        }
    ),
    "Job": form(
        {
            "job": TEXT, "store": TEXT, "is_running": FLAG, "is_served": FLAG, "version": TEXT,
            "token": form({"name": maybe(TEXT), "role": TEXT}),
        }
    ),
    "Health": form({"status": TEXT, "reason": TEXT}, "reason"),
}  # fmt: skip

NEW_RUN: Final[Schema] = form(
    {
        "key": {"description": "Runs of one key are run one after the other."},
        "value": {"description": "The input."},
        "id": {
            "description": "Its idempotency id: sent again it gives the same run.",
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": 1000},
                {"type": "integer"},
                {"type": "null"},
            ],
        },
        "wait": {
            "description": "Answer when the run has ended, or this many seconds are over.",
            "anyOf": [
                {"type": "boolean"},
                {"type": "number", "minimum": 0, "maximum": 60},
                {"type": "null"},
            ],
        },
    },
    "id", "wait", closed=True,
)  # fmt: skip
NOTHING: Final[Schema] = form({}, closed=True)
SIGNAL: Final[Schema] = form(
    {"name": {"type": "string", "minLength": 1, "maxLength": 1000}, "value": ANYTHING},
    "value", closed=True,
)  # fmt: skip
_SHORT: Final[Schema] = {"type": ["string", "null"], "minLength": 1, "maxLength": 10_000}
ANSWER: Final[Schema] = form(
    {
        "name": {**_SHORT, "description": "Which approval; needed where several are open."},
        "approved": {"type": "boolean"},
        "comment": _SHORT,
    },
    "name", "comment", closed=True,
)  # fmt: skip
