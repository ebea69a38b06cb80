-- Version 3. Documents of jobs, in named collections. A row without content deletes its document:
-- one statement writes both, so that a batch keeps their order.
CREATE TABLE document (
    number INTEGER PRIMARY KEY,
    job INTEGER NOT NULL,
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    content TEXT,
    metadata TEXT NOT NULL,
    embedding BLOB
);
CREATE UNIQUE INDEX document_id ON document (job, collection, id);
CREATE VIRTUAL TABLE document_text USING fts5 (
    content, content = 'document', content_rowid = 'number',
    tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER document_added AFTER INSERT ON document BEGIN
    INSERT INTO document_text (rowid, content)
    SELECT new.number, new.content WHERE new.content IS NOT NULL;
    DELETE FROM document WHERE number = new.number AND content IS NULL;
END;
CREATE TRIGGER document_changed AFTER UPDATE ON document BEGIN
    INSERT INTO document_text (document_text, rowid, content)
    VALUES ('delete', old.number, old.content);
    INSERT INTO document_text (rowid, content)
    SELECT new.number, new.content WHERE new.content IS NOT NULL;
    DELETE FROM document WHERE number = new.number AND content IS NULL;
END;
CREATE TRIGGER document_deleted AFTER DELETE ON document WHEN old.content IS NOT NULL BEGIN
    INSERT INTO document_text (document_text, rowid, content)
    VALUES ('delete', old.number, old.content);
END;
