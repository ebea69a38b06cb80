"""A store with a million finished runs, written by SQL: what a job looks like after months."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from perdure.codec.codec import Codec
from perdure.codec.digests import digest
from perdure.journal.record import Completion, RecordKind, encode_completion
from perdure.run import STATUS_NUMBERS, RunStatus
from perdure.store.base import NUMBER_BITS
from perdure.store.sqlite.file import connect

JOB = 1
REVIEW = "The jacket is warm and fits well, but one of the two zips jams now and then. " * 3

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
RECORD = (
    "number, run, event, action, n, kind, call, function, digest, detail, payload, started_at, at"
)
# One key a run, so that every index grows with the number of runs.
STATEMENTS = (
    "INSERT INTO key SELECT :first + i, :job, key_digest(i), key_value(i), 1 FROM n",
    """INSERT INTO run (run, job, key, sequence, label, value, status, place, attempt, error,
       admitted_at, finished_at) SELECT :first + i, :job, :first + i, 1, printf('order-%07d', i),
       input_value(i), :status, :first + i, 0, NULL, :now + i * 1000, :now + i * 1000 + 900
       FROM n""",
    """INSERT INTO input SELECT :job, '', printf('order-%07d', i), :first + i, randomblob(16)
       FROM n""",
    f"""INSERT INTO record ({RECORD})
       SELECT NULL, :first + i, 0, 'go', 0, :start, 0, '', NULL, '', NULL, 0,
       :now + i * 1000 FROM n""",
    f"""INSERT INTO record ({RECORD})
       SELECT NULL, :first + i, 0, 'go', 1, :result, 1, 'workloads:trivial',
       randomblob(16), 'order', result_value(i), :now + i * 1000, :now + i * 1000 + 500 FROM n""",
    f"""INSERT INTO record ({RECORD})
       SELECT NULL, :first + i, 0, 'go', 1, :completed, 0, '', NULL, '',
       :completion, 0, :now + i * 1000 + 900 FROM n""",
    "INSERT INTO memory SELECT :first + i, 'last', result_value(i), :now + i * 1000 + 900 FROM n",
    """INSERT INTO output SELECT NULL, :first + i, 1, lower(hex(randomblob(16))), result_value(i),
       1 FROM n""",
)


def fill(path: Path, count: int, job: str) -> None:
    """Make a store at `path` in which `job` has `count` finished runs of one call each."""
    codec = Codec()
    connection = connect(path)
    functions = {
        "key_value": lambda i: codec.encode(f"customer-{i:07d}"),
        "key_digest": lambda i: digest(f"customer-{i:07d}"),
        "input_value": lambda i: codec.encode({"id": f"order-{i:07d}", "n": i, "review": REVIEW}),
        "result_value": lambda i: codec.encode({"label": "positive", "score": i / 7, "n": i}),
    }
    for name, function in functions.items():
        connection.create_function(name, 1, function, deterministic=True)
    completion = Completion(
        events=[], sensory=[], short_term=[("last", functions["result_value"](1))], outputs=1,
        created=1,
    )  # fmt: skip
    values = {
        "count": count,
        "job": JOB,
        "first": JOB << NUMBER_BITS,
        "now": time.time_ns() - 10**15,
        "status": STATUS_NUMBERS[RunStatus.COMPLETED],
        "start": int(RecordKind.START),
        "result": int(RecordKind.RESULT),
        "completed": int(RecordKind.COMPLETED),
        "completion": encode_completion(completion),
    }
    # Nobody minds losing this file half way.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO job VALUES (?, ?, ?)", (JOB, job, values["now"]))
    for statement in STATEMENTS:
        insert, select = statement.split(" SELECT ", 1)
        connection.execute(f"{insert} {NUMBERS} SELECT {select}", values)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


def copy(filled: Path, path: Path) -> Path:
    """Copy a filled store; return when it is on the disk and no longer in the way."""
    shutil.copyfile(filled, path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path
