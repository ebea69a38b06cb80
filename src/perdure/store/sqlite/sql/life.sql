-- The processes that had a job.
-- name: begin
INSERT INTO life (job, host, pid, begun_at, seen_at, code) VALUES (?, ?, ?, ?, ?, ?);
-- name: last
SELECT life, job, host, pid, begun_at, seen_at, ended_at, code FROM life WHERE job = ? ORDER BY life DESC LIMIT 1;
-- name: seen
UPDATE life SET seen_at = ? WHERE life = ?;
-- name: end
UPDATE life SET seen_at = ?, ended_at = ? WHERE life = ?;
