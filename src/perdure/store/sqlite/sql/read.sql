-- `:many` stands for a list of values, bound in chunks; other parts by name stand in parts.sql.
-- name: job
-- The newest generation: their names follow that of the job (generations.py).
SELECT job, name FROM job
WHERE name = :name OR (name >= :name || char(31) AND name < :name || char(32))
ORDER BY name DESC LIMIT 1;
-- name: count_unfinished
SELECT count(*) FROM run INDEXED BY run_unfinished WHERE job = ? AND status < 4;
-- name: make_job
INSERT INTO job (job, name, created_at) SELECT coalesce(max(job), 0) + 1, ?, ? FROM job;
-- name: last_run
SELECT max(run) FROM run WHERE run >= ? AND run < ?;
-- Of tables whose rows SQLite numbers itself.
-- name: last_numbers
SELECT 'record', max(number) FROM record
UNION ALL SELECT 'output', max(position) FROM output
UNION ALL SELECT 'command', max(number) FROM command
UNION ALL SELECT 'sqlite_sequence', seq FROM sqlite_sequence
UNION ALL SELECT 'document', max(number) FROM document
UNION ALL SELECT 'life', max(life) FROM life;
-- name: last_key
SELECT max(key) FROM key WHERE key >= ? AND key < ?;
-- name: last_place
SELECT max(place) FROM run WHERE job = ? AND status < 4;
-- name: unknown_status
SELECT run FROM run INDEXED BY run_unsuccessful WHERE job = ? AND status > 6 AND status > 4 LIMIT 1;
-- name: forget_tombstones
DELETE FROM memory WHERE data IS NULL AND key >= ? AND key < ?;
-- name: keys_by_digest
SELECT key, job, digest, value, sequence FROM key WHERE job = ? AND digest IN (:many);
-- name: keys
SELECT key, job, digest, value, sequence FROM key WHERE key IN (:many);
-- name: keys_of_runs
SELECT DISTINCT key FROM run WHERE run IN (:many);
-- name: memory
SELECT key, path, data, written_at FROM memory WHERE data IS NOT NULL AND key IN (:many);
-- name: inputs
SELECT id, run, digest, job, (SELECT max(run) FROM run WHERE run < (?1 + 1) << 40)
FROM input WHERE job = ?1 AND source = ?2 AND id IN (:many);
-- name: unfinished
SELECT run, job, key, sequence, label, value, status, place, attempt, error, admitted_at,
       finished_at, due FROM run WHERE job = ? AND status < 4 AND place > ? ORDER BY place LIMIT ?;
-- name: queued
SELECT run, job, key, sequence, label, value, status, place, attempt, error, admitted_at,
       finished_at, due FROM run INDEXED BY run_unfinished
WHERE job = ? AND status < 4 AND place BETWEEN ? AND ? AND key = ? AND (due = 0 OR place <> run)
ORDER BY place LIMIT ?;
-- name: runs
SELECT run, job, key, sequence, label, value, status, place, attempt, error, admitted_at,
       :finished_at, due FROM run WHERE run IN (:many);
-- Without the outcomes of over 64 kB; a compressed one says from its third byte on what it was.
-- name: records
SELECT run, event, action, n, kind, call, function, digest, detail,
       CASE WHEN large THEN NULL ELSE payload END, started_at, at, rules, codec,
       start_at, start_n,
       CASE WHEN large THEN number END
FROM (SELECT *, kind IN (2, 3) AND (length(payload) > 65536 OR
          substr(payload, 1, 2) = x'027a' AND substr(payload, 3, 4) > x'00010000') AS large
      FROM record WHERE run IN (:many)) ORDER BY run, number;
-- The COMPLETED records that are in rows of outputs.
-- name: ends
SELECT o.run, o.end_event, o.end_action, o.end_n, o.end_payload, o.end_behind, o.number,
       :finished_at,
       (SELECT count(*) + count(start_at) FROM record
        WHERE record.run = o.run AND record.number <= o.end_behind)
FROM output o JOIN run ON run.run = o.run
WHERE o.run IN (:many) AND coalesce(o.end_event, o.end_action, o.end_n, o.end_payload,
                                    o.end_behind) IS NOT NULL
ORDER BY o.run, o.position;
-- name: payload
SELECT run, event, action, payload FROM record WHERE number = ?;
-- name: outputs
SELECT o.run, o.number, :output_id, o.value, k.value, o.delivered, o.position
FROM output o LEFT JOIN run r ON r.run = o.run LEFT JOIN key k ON k.key = r.key
WHERE o.run IN (:many);
-- name: waits_of_runs
SELECT run, event, action, call, name, kind, question, since FROM wait
WHERE (SELECT status FROM run WHERE run.run = wait.run) < 4 AND run IN (:many)
ORDER BY run, event, action, call;
-- name: undelivered
SELECT o.run, o.number, :output_id, o.value, k.value, o.delivered, o.position
FROM output o LEFT JOIN run r ON r.run = o.run LEFT JOIN key k ON k.key = r.key
WHERE o.delivered = 0 AND o.run >= ? AND o.run < ? ORDER BY o.position;
-- name: sink
SELECT job, name, base, "offset" FROM sink WHERE job = ? AND name = ?;
-- name: commands
SELECT number, run, command, payload, at FROM command WHERE job = ? ORDER BY number;
-- name: file
SELECT job, kind, name, path, beside FROM file WHERE job = ? AND kind = ? AND name = ?;
-- name: bad_positions
SELECT source, position FROM bad_line WHERE job = ? AND source = ?;
