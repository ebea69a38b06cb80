-- Version 4. Classes and callables go by names that last: from this version on a journal may hold
-- names that an older perdure would not find, and digests that it would not make. What follows is
-- for what comes next; none of it is used yet, and all of it may be NULL.
--
-- Which rules an action is run by, of a START record. One without a number keeps the rules that
-- held when it was recorded to its end, whatever later versions do.
ALTER TABLE record ADD COLUMN rules INTEGER;
-- START inside of the first settlement, which then says when its action started (ns since the
-- epoch) and after which completion of its run: one row less for each action.
ALTER TABLE record ADD COLUMN start_at INTEGER;
ALTER TABLE record ADD COLUMN start_n INTEGER;
-- In use for what a call waited for (journal/waited.py): how a payload is compressed is said by its
-- first bytes, in every table.
ALTER TABLE record ADD COLUMN codec INTEGER;
-- Who sent a command, where that is known.
ALTER TABLE command ADD COLUMN by TEXT;
-- Which shard of the job's keys a run belongs to, where several processes share a job.
ALTER TABLE run ADD COLUMN shard INTEGER;
-- Whose run it is, where it is not the job's own agent's: a child run may be another agent's.
ALTER TABLE run ADD COLUMN agent TEXT;
-- The waits that are open: what a run waits for from outside, such as a person's answer. A row is
-- gone when its wait ends.
CREATE TABLE wait (
    run INTEGER NOT NULL,
    event INTEGER NOT NULL,
    action TEXT NOT NULL,
    call INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    question TEXT,
    since INTEGER NOT NULL,
    PRIMARY KEY (run, event, action, call)
) WITHOUT ROWID;
-- The processes that had the job, one row each. A process that ended without saying so was killed.
CREATE TABLE life (
    life INTEGER PRIMARY KEY,
    job INTEGER NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    begun_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    ended_at INTEGER,
    code TEXT
);
CREATE INDEX life_job ON life (job, life);
--
-- In use: which file a source or sink of a job is, by its name: another file of that name is refused.
-- Of kind 'agent': whose the job is, by the agent's name (path) and a digest of its source (beside).
CREATE TABLE file (
    job INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    beside TEXT NOT NULL,
    PRIMARY KEY (job, kind, name)
) WITHOUT ROWID;
-- Inputs that a source passed over, by its name and their position in it.
CREATE TABLE bad_line (
    job INTEGER NOT NULL,
    source TEXT NOT NULL,
    position INTEGER NOT NULL,
    line INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (job, source, position)
) WITHOUT ROWID;
