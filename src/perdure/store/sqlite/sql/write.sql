-- One statement for each kind of row; `name` is the row's type. What inserts can insert many rows;
-- what does not may have a statement of its own for many, with `_many` behind the name.
-- name: KeyRow
INSERT INTO key (key, job, digest, value, sequence) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET sequence = excluded.sequence;
-- name: RunRow
INSERT INTO run (run, job, key, sequence, label, value, status, place, attempt, error,
                 admitted_at, finished_at, due)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: InputRow
INSERT INTO input (job, source, id, run, digest) VALUES (?, ?, ?, ?, ?);
-- name: Record
INSERT INTO record (run, event, action, n, kind, call, function, digest, detail, payload,
                    started_at, at, rules, codec) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: RecordWithStart
INSERT INTO record (run, event, action, n, kind, call, function, digest, detail, payload,
                    started_at, at, rules, codec, start_at, start_n)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: StatusRow
UPDATE run SET status = ?, place = ?, attempt = ?, error = ?, finished_at = ? WHERE run = ?;
-- name: StatusRow_many
WITH new (status, place, attempt, error, finished_at, run) AS (VALUES (?, ?, ?, ?, ?, ?))
UPDATE run SET status = new.status, place = new.place, attempt = new.attempt, error = new.error,
               finished_at = new.finished_at
FROM new WHERE run.run = new.run;
-- name: MemoryRow
INSERT INTO memory (key, path, data, written_at) VALUES (?, ?, ?, ?)
ON CONFLICT (key, path) DO UPDATE SET data = excluded.data, written_at = excluded.written_at;
-- name: OutputRow
INSERT INTO output (run, number, id, value, delivered) VALUES (?, ?, ?, ?, ?);
-- name: DeliveredRow
UPDATE output SET delivered = 1 WHERE run = ? AND number = ?;
-- name: SinkRow
INSERT INTO sink (job, name, base, "offset") VALUES (?, ?, ?, ?)
ON CONFLICT (job, name) DO UPDATE SET base = excluded.base, "offset" = excluded."offset";
-- name: DocumentRow
INSERT INTO document (job, collection, id, content, metadata, embedding)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (job, collection, id) DO UPDATE SET content = excluded.content,
    metadata = excluded.metadata, embedding = excluded.embedding;
-- name: CommandRow
INSERT INTO command (job, run, command, payload, at) VALUES (?, ?, ?, ?, ?);
-- name: CommandDoneRow
DELETE FROM command WHERE number = ?;
-- name: FileRow
INSERT INTO file (job, kind, name, path, beside) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (job, kind, name) DO UPDATE SET path = excluded.path, beside = excluded.beside;
-- name: BadLineRow
INSERT INTO bad_line (job, source, position, line, reason, at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (job, source, position) DO UPDATE SET line = excluded.line, reason = excluded.reason,
    at = excluded.at;
-- name: MendedLineRow
DELETE FROM bad_line WHERE job = ? AND source = ? AND position = ?;
-- name: WaitRow
INSERT INTO wait (run, event, action, call, name, kind, question, since)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run, event, action, call) DO UPDATE SET name = excluded.name, kind = excluded.kind,
    question = excluded.question, since = excluded.since;
-- name: WaitEndRow
DELETE FROM wait WHERE run = ? AND event = ? AND action = ? AND call = ?;
-- name: ActionWaitsEndRow
DELETE FROM wait WHERE run = ? AND event = ? AND action = ?;
