-- Parts of statements, which stand for `:name` there.
-- seen_jobs: a job's generations are rows by names that follow its own (generations.py). A job is
-- read with the number of its generation, and how many there are after it.
-- begun: a run has begun when an action has started since it was last put back. It is running then,
-- though it is stored as queued.
-- finished_at, output_id: of a run, and of an output `o`; see 0006_ends.sql.
-- name: seen_jobs
(SELECT job, base, created_at, generation,
        (SELECT count(*) FROM job later WHERE later.name > stored
             AND later.name >= base || char(31) AND later.name < base || char(32)),
        stored
 FROM (SELECT job, name AS stored, created_at,
              CASE mark WHEN 0 THEN name ELSE substr(name, 1, mark - 1) END AS base,
              CASE mark WHEN 0 THEN 1 ELSE CAST(substr(name, mark + 1) AS INTEGER) END AS generation
       FROM (SELECT *, instr(name, char(31)) AS mark FROM job)))
-- name: begun
EXISTS (
    SELECT 1 FROM record
    WHERE record.run = run.run AND (kind = 1 OR start_at IS NOT NULL) AND record.number >
        CASE run.attempt WHEN 0 THEN 0 ELSE
            (SELECT coalesce(max(number), 0) FROM record WHERE record.run = run.run AND kind = 9)
        END)
-- name: finished_at
CASE WHEN finished_at < 0 AND status = 4 THEN admitted_at - finished_at ELSE finished_at END
-- name: output_id
CASE WHEN typeof(o.id) = 'blob' AND length(o.id) = 16 THEN lower(hex(o.id)) ELSE o.id END
