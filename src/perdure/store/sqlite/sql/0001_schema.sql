-- Version 1. Numbers of runs and keys are given by the job's owner, from (job << 40) on.
CREATE TABLE job (
    job INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
);
CREATE TABLE key (
    key INTEGER PRIMARY KEY,
    job INTEGER NOT NULL,
    digest BLOB NOT NULL,
    value BLOB NOT NULL,
    sequence INTEGER NOT NULL
);
CREATE UNIQUE INDEX key_digest ON key (job, digest);
CREATE TABLE run (
    run INTEGER PRIMARY KEY,
    job INTEGER NOT NULL,
    key INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    label TEXT NOT NULL,
    value BLOB NOT NULL,
    status INTEGER NOT NULL,
    place INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    error BLOB,
    admitted_at INTEGER NOT NULL,
    finished_at INTEGER NOT NULL
);
-- Finished runs (status 4 and above) are not in it: a restart does not pay for them.
CREATE INDEX run_unfinished ON run (job, place) WHERE status < 4;
-- Failed and cancelled runs are few and asked for often.
CREATE INDEX run_unsuccessful ON run (job, status, run) WHERE status > 4;
-- One row an input for ever, also when its run was pruned.
CREATE TABLE input (
    job INTEGER NOT NULL,
    source TEXT NOT NULL,
    id NOT NULL,
    run INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (job, source, id)
) WITHOUT ROWID;
CREATE TABLE record (
    number INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    event INTEGER NOT NULL,
    action TEXT NOT NULL,
    n INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    call INTEGER NOT NULL,
    function TEXT NOT NULL,
    digest BLOB,
    detail TEXT NOT NULL,
    payload BLOB,
    started_at INTEGER NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX record_run ON record (run);
CREATE TABLE memory (
    key INTEGER NOT NULL,
    path TEXT NOT NULL,
    data BLOB,
    written_at INTEGER NOT NULL,
    PRIMARY KEY (key, path)
) WITHOUT ROWID;
CREATE INDEX memory_tombstone ON memory (key) WHERE data IS NULL;
CREATE TABLE output (
    position INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    value BLOB NOT NULL,
    delivered INTEGER NOT NULL
);
CREATE UNIQUE INDEX output_run ON output (run, number);
CREATE INDEX output_undelivered ON output (position) WHERE delivered = 0;
CREATE TABLE sink (
    job INTEGER NOT NULL,
    name TEXT NOT NULL,
    base INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    PRIMARY KEY (job, name)
) WITHOUT ROWID;
CREATE TABLE command (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job INTEGER NOT NULL,
    run INTEGER NOT NULL,
    command TEXT NOT NULL,
    payload BLOB,
    at INTEGER NOT NULL
);
