-- Which file a source or sink of a job is, by its name: another file of that name is refused.
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
