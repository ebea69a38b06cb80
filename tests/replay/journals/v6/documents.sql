-- Documents that were added, replaced and deleted; a search still to come.
INSERT INTO job ("job", "name", "created_at") VALUES
  (1, 'golden', 1767225600000000000);
INSERT INTO key ("key", "job", "digest", "value", "sequence") VALUES
  (1099511627777, 1, X'980BEE7C45E97D4FC4B9FB98B583B291', X'01A164', 1);
INSERT INTO run ("run", "job", "key", "sequence", "label", "value", "status", "place", "attempt", "error", "admitted_at", "finished_at", "due", "shard", "agent") VALUES
  (1099511627777, 1, 1099511627777, 1, '', X'01A57768616C65', 1, 1099511627777, 0, NULL, 1767225600000000000, 0, 0, NULL, NULL);
INSERT INTO record ("number", "run", "event", "action", "n", "kind", "call", "function", "digest", "detail", "payload", "started_at", "at", "rules", "start_at", "start_n", "codec") VALUES
  (1, 1099511627777, 0, 'look_up', 1, 2, 1, 'perdure:BaseVectorStore.add@perdure:VectorStore', X'1F435E6B4AF83AD187FAF92DCBC135BB98D5433BEC39E60AA684EEF2F3FFB740FB2930D8E03BEC391DC72802990F1795F0756A2EEA34F63BEC39679DAA048BD19FC1DC1F4A027C90F2DF29EBF53ECFBEAD476EDA7E85DE9A619E1045B5B401', '[Document(content=''The whale'', metadata={''pages'': 600, ''tags'': [''sea'', None]}, id=''whale''), Document(content="The ship it''s after", metadata={''pages'': 0.5}, id…', X'0193A57768616C65A473686970A46C6F7374', 1767225600000000000, 1767225600000000000, 3, 1767225600000000000, 0, NULL),
  (2, 1099511627777, 0, 'look_up', 2, 2, 2, 'perdure:BaseVectorStore.add@perdure:VectorStore', X'66BC876A5B176AA80B3821B85C924FE6', 'Document(content=''Ships ☃'', metadata={''new'': True}, id=''ship'')', X'0191A473686970', 1767225600000000000, 1767225600000000000, NULL, NULL, NULL, NULL),
  (3, 1099511627777, 0, 'look_up', 3, 2, 3, 'perdure:VectorStore.delete', X'299AE98E7525BCBFC7835D9882C0A1A7', '''lost''', X'01C0', 1767225600000000000, 1767225600000000000, NULL, NULL, NULL, NULL);
INSERT INTO document ("number", "job", "collection", "id", "content", "metadata", "embedding") VALUES
  (1, 1, 'books', 'whale', 'The whale', '{"pages":600,"tags":["sea",null]}', X'0000803F000000400000004000000000'),
  (2, 1, 'books', 'ship', 'Ships ☃', '{"new":true}', X'00000000000000000000803F0000803F');
