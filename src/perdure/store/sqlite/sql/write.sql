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
UPDATE run SET status = ?1, place = CASE WHEN ?1 < 4 THEN ?2 ELSE 0 END, attempt = ?3, error = ?4,
               finished_at = CASE WHEN ?1 = 4 AND ?5 > admitted_at THEN admitted_at - ?5 ELSE ?5 END
WHERE run = ?6;
-- name: StatusRow_many
WITH new (status, place, attempt, error, finished_at, run) AS (VALUES (?, ?, ?, ?, ?, ?))
UPDATE run SET status = new.status, place = CASE WHEN new.status < 4 THEN new.place ELSE 0 END,
               attempt = new.attempt, error = new.error,
               finished_at = CASE WHEN new.status = 4 AND new.finished_at > admitted_at
                   THEN admitted_at - new.finished_at ELSE new.finished_at END
FROM new WHERE run.run = new.run;
-- name: MemoryRow
INSERT INTO memory (key, path, data, written_at) VALUES (?, ?, ?, ?)
ON CONFLICT (key, path) DO UPDATE SET data = excluded.data, written_at = excluded.written_at;
-- name: OutputRow
INSERT INTO output (run, number, id, value, delivered) VALUES (?, ?, ?, ?, ?);
-- name: OutputRowWithEnd
WITH new (run, number, id, value, delivered, event, action, n, payload)
    AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?))
INSERT INTO output (run, number, id, value, delivered, end_event, end_action, end_n, end_payload,
                    end_behind)
SELECT *, CASE WHEN action IS NOT NULL THEN (SELECT coalesce(max(number), 0) FROM record) END
FROM new;
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
