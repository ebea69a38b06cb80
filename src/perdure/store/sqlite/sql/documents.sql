-- Reading documents. `:many` stands for a list of values, bound in chunks.
-- name: by_id
SELECT job, collection, id, content, metadata, embedding
FROM document WHERE job = ? AND collection = ? AND id IN (:many);
-- name: by_id_plain
SELECT job, collection, id, content, metadata, NULL
FROM document WHERE job = ? AND collection = ? AND id IN (:many);
-- name: all
SELECT job, collection, id, content, metadata, embedding
FROM document WHERE job = ? AND collection = ? ORDER BY number;
-- name: all_plain
SELECT job, collection, id, content, metadata, NULL
FROM document WHERE job = ? AND collection = ? ORDER BY number;
-- name: by_number
SELECT number, job, collection, id, content, metadata, NULL
FROM document WHERE number IN (:many);
-- name: embeddings
SELECT number, id, metadata, embedding FROM document
WHERE job = ? AND collection = ? AND embedding IS NOT NULL ORDER BY number;
-- name: embeddings_of
SELECT number, id, metadata, embedding FROM document
WHERE job = ? AND collection = ? AND embedding IS NOT NULL AND id IN (:many);
-- name: embedding_bytes
SELECT length(embedding) FROM document
WHERE job = ? AND collection = ? AND embedding IS NOT NULL LIMIT 1;
-- name: size
SELECT count(*) FROM document WHERE job = ? AND collection = ?;
-- name: matching
SELECT d.job, d.collection, d.id, d.content, d.metadata, NULL, -t.rank
FROM document_text t JOIN document d ON d.number = t.rowid
WHERE document_text MATCH ? AND d.job = ? AND d.collection = ? ORDER BY t.rank, d.number;
