-- What is seen from outside. `:many` stands for a list of values, bound in chunks; other parts by
-- name stand in parts.sql.
-- name: jobs
SELECT * FROM :seen_jobs WHERE :after IS NULL OR stored > :after ORDER BY stored LIMIT :limit;
-- The newest generation of a job.
-- name: job
SELECT * FROM :seen_jobs
WHERE stored = :name OR (stored >= :name || char(31) AND stored < :name || char(32))
ORDER BY stored DESC LIMIT 1;
-- name: generation
SELECT * FROM :seen_jobs WHERE stored = :name;
-- Runs are counted by what indexes have of them; those that completed are the rest. No run is ever
-- deleted, so those up to a number are counted once.
-- name: count_unfinished
SELECT CASE status WHEN 2 THEN 1 ELSE status END AS shown, count(*)
FROM run INDEXED BY run_unfinished WHERE job = :job AND status < 4 GROUP BY shown;
-- name: count_unsuccessful
SELECT status, count(*) FROM run INDEXED BY run_unsuccessful
WHERE job = :job AND status > 4 GROUP BY status;
-- name: count_runs
SELECT count(*), max(run) FROM run WHERE run > :counted AND run < :before;
-- name: count_failed
SELECT count(*) FROM (
    SELECT finished_at FROM run INDEXED BY run_unsuccessful
    WHERE job = :job AND status = 5 AND status > 4 ORDER BY run DESC LIMIT :limit)
WHERE finished_at >= :since;
-- name: newest_record
SELECT coalesce(max(number), 0) FROM record WHERE number <= :until;
-- name: settled
SELECT at / 60000000000 AS minute, sum(kind = 2), sum(kind = 3) FROM record NOT INDEXED
WHERE number > :after AND number <= :last AND run >= :first AND run < :before
GROUP BY minute ORDER BY minute;
-- name: heads
SELECT run.run, run.job, run.key, run.sequence, label, run.value,
       CASE WHEN status = 1 AND :begun THEN 2 ELSE status END,
       place, attempt, error, admitted_at, :finished_at, due, key.value,
       CASE WHEN status < ? THEN
           (SELECT payload FROM record WHERE record.run = run.run AND kind = 13
            ORDER BY number DESC LIMIT 1)
       END
FROM run LEFT JOIN key ON key.key = run.key WHERE run.run IN (:many);
-- The numbers of runs of a job, newest first, by status. A + keeps a column from being looked up.
-- name: find
SELECT run FROM run WHERE run >= :first AND run < :before ORDER BY run DESC LIMIT :limit;
-- name: find_1
SELECT run FROM run INDEXED BY run_unfinished WHERE job = :job AND status < 4 AND run < :before
    AND status = 1 AND NOT :begun ORDER BY run DESC LIMIT :limit;
-- name: find_2
SELECT run FROM run INDEXED BY run_unfinished WHERE job = :job AND status < 4 AND run < :before
    AND (status = 2 OR (status = 1 AND :begun)) ORDER BY run DESC LIMIT :limit;
-- name: find_3
SELECT run FROM run INDEXED BY run_unfinished WHERE job = :job AND status < 4 AND run < :before
    AND status = 3 ORDER BY run DESC LIMIT :limit;
-- name: find_4
SELECT run FROM run WHERE run >= :first AND run < :before
    AND status = 4 ORDER BY run DESC LIMIT :limit;
-- name: find_unsuccessful
SELECT run FROM run INDEXED BY run_unsuccessful WHERE job = :job AND status = :status
    AND status > 4 AND run < :before ORDER BY run DESC LIMIT :limit;
-- name: find_of_key
SELECT run FROM run WHERE run < :before
    AND key = (SELECT key FROM key WHERE job = :job AND digest = :key)
    AND (:status IS NULL
         OR :status = CASE WHEN status = 1 AND :begun THEN 2 ELSE status END)
    ORDER BY run DESC LIMIT :limit;
-- name: records
SELECT run, event, action, n, kind, call, function, digest, detail, payload, started_at, at,
       rules, codec, start_at, start_n
FROM record WHERE run = ? ORDER BY number LIMIT ? OFFSET ?;
-- How many of the first rows of a run have a START inside.
-- name: starts_inside
SELECT count(start_at) FROM (SELECT start_at FROM record WHERE run = ? ORDER BY number LIMIT ?);
-- name: outputs
SELECT o.run, o.number, :output_id, o.value, k.value, o.delivered, o.position
FROM output o LEFT JOIN run r ON r.run = o.run LEFT JOIN key k ON k.key = r.key
WHERE +o.run >= :first AND +o.run < :before AND o.position > :after ORDER BY o.position LIMIT :limit;
-- name: outputs_of_run
SELECT o.run, o.number, :output_id, o.value, k.value, o.delivered, o.position
FROM output o LEFT JOIN run r ON r.run = o.run LEFT JOIN key k ON k.key = r.key
WHERE o.run = :run AND o.position > :after ORDER BY +o.position LIMIT :limit;
-- name: key
SELECT key, job, digest, value, sequence FROM key WHERE job = ? AND digest = ?;
-- name: memory
SELECT key, path, data, written_at FROM memory
WHERE data IS NOT NULL AND key = :key AND (:after IS NULL OR path > :after)
ORDER BY path LIMIT :limit;
-- name: collections
SELECT collection, count(*) FROM document
WHERE job = :job AND (:after IS NULL OR collection > :after)
GROUP BY collection ORDER BY collection LIMIT :limit;
-- name: documents
SELECT job, collection, id, content, metadata, NULL, number
FROM document WHERE job = ? AND collection = ? AND number > ? ORDER BY number LIMIT ?;
-- name: commands
SELECT number, run, command, payload, at FROM command
WHERE job = :job AND (:run IS NULL OR run = :run) AND number > :after ORDER BY number LIMIT :limit;
-- How many commands for a run came behind one.
-- name: commands_since
SELECT count(*) FROM command WHERE job = ? AND run = ? AND number > ?;
-- Where a job is: its beginning, the newest record and output of the store, the newest run and
-- command.
-- name: position
SELECT created_at, (SELECT coalesce(max(number), 0) FROM record),
       (SELECT coalesce(max(position), 0) FROM output),
       (SELECT coalesce(max(run), :first) FROM run WHERE run >= :first AND run < :before),
       (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'command')
FROM job WHERE job = :job;
-- The unfinished runs and how they stand: whatever a status becomes, this is another text then.
-- name: statuses
SELECT coalesce(group_concat(run * 8 + status), '') FROM (
    SELECT run, status FROM run INDEXED BY run_unfinished
    WHERE job = ? AND status < 4 ORDER BY place);
-- name: changed
SELECT run FROM record NOT INDEXED
WHERE number > :record AND run >= :first AND run < :before
UNION SELECT run FROM output NOT INDEXED
WHERE position > :output AND run >= :first AND run < :before
UNION SELECT run FROM run WHERE run > :run AND run < :before
UNION SELECT run FROM command WHERE job = :job AND number > :command
ORDER BY run LIMIT :limit;
-- name: sink_files
SELECT job, kind, name, path, beside FROM file WHERE job = ? AND kind = 'sink'
    AND EXISTS (SELECT 1 FROM sink WHERE sink.job = file.job AND sink.name = file.name
                AND "offset" > base)
    ORDER BY name;
-- name: bad_lines
SELECT job, source, position, line, reason, at FROM bad_line
WHERE job = :job AND (source, position) > (:source, :position)
ORDER BY source, position LIMIT :limit;
-- name: count_bad_lines
SELECT count(*) FROM bad_line WHERE job = ?;
-- name: waits
SELECT run, event, action, call, name, kind, question, since FROM wait
WHERE run >= :first AND run < :before
    AND (run, event, action, call) > (:run, :event, :action, :call)
    AND (SELECT status FROM run WHERE run.run = wait.run) < 4
ORDER BY run, event, action, call LIMIT :limit;
-- name: lives
SELECT life, job, host, pid, begun_at, seen_at, ended_at, code FROM life
WHERE job = ? AND life > ? ORDER BY life LIMIT ?;
-- name: runs_of_inputs
SELECT id, run, digest, job, (SELECT max(run) FROM run WHERE run < (?1 + 1) << 40)
FROM input WHERE job = ?1 AND source = '' AND id IN (:many);
