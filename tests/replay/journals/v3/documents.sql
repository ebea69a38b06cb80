-- Documents that were added, replaced and deleted; a search still to come.
INSERT INTO job ("job", "name", "created_at") VALUES
  (1, 'golden', 1767225600000000000);
INSERT INTO key ("key", "job", "digest", "value", "sequence") VALUES
  (1099511627777, 1, X'980BEE7C45E97D4FC4B9FB98B583B291', X'01A164', 1);
INSERT INTO run ("run", "job", "key", "sequence", "label", "value", "status", "place", "attempt", "error", "admitted_at", "finished_at", "due") VALUES
  (1099511627777, 1, 1099511627777, 1, '', X'01A57768616C65', 1, 1099511627777, 0, NULL, 1767225600000000000, 0, 0);
INSERT INTO record ("number", "run", "event", "action", "n", "kind", "call", "function", "digest", "detail", "payload", "started_at", "at") VALUES
  (1, 1099511627777, 0, 'look_up', 0, 1, 0, '', NULL, '', NULL, 0, 1767225600000000000),
  (2, 1099511627777, 0, 'look_up', 1, 2, 1, 'perdure.vector_stores:BaseVectorStore.add@perdure.vector_stores:VectorStore', X'E4578B7A4E8C43B19FDE2B298FF0EE08', '[Document(content=''The whale'', metadata={''pages'': 600, ''tags'': [''sea'', None]}, id=''whale''), Document(content="The ship it''s after", metadata={''pages'': 0.5}, id…', X'0193A57768616C65A473686970A46C6F7374', 1767225600000000000, 1767225600000000000),
  (3, 1099511627777, 0, 'look_up', 2, 2, 2, 'perdure.vector_stores:BaseVectorStore.add@perdure.vector_stores:VectorStore', X'1AD26DEBEFFAA6EAE6AA634EBF2BBFD6', 'Document(content=''Ships ☃'', metadata={''new'': True}, id=''ship'')', X'0191A473686970', 1767225600000000000, 1767225600000000000),
  (4, 1099511627777, 0, 'look_up', 3, 2, 3, 'perdure.vector_stores:VectorStore.delete', X'299AE98E7525BCBFC7835D9882C0A1A7', '''lost''', X'01C0', 1767225600000000000, 1767225600000000000);
INSERT INTO document ("number", "job", "collection", "id", "content", "metadata", "embedding") VALUES
  (1, 1, 'books', 'whale', 'The whale', '{"pages":600,"tags":["sea",null]}', X'0000803F000000400000004000000000'),
  (2, 1, 'books', 'ship', 'Ships ☃', '{"new":true}', X'00000000000000000000803F0000803F');
