-- What `perdure run notes.py --input in.jsonl --key id` left in a store of schema version 5, before jobs
-- were named after their agents too: job "notes", two finished runs.
INSERT INTO job ("job", "name", "created_at") VALUES
  (1, 'notes', 1795751276131460418);
INSERT INTO key ("key", "job", "digest", "value", "sequence") VALUES
  (1099511627777, 1, X'ED9A01313704ABDDE1B33F0118818FC2', X'01A161', 1),
  (1099511627778, 1, X'1A10B1593D5A0D74BC1721100EDEAAFD', X'01A162', 1);
INSERT INTO run ("run", "job", "key", "sequence", "label", "value", "status", "place", "attempt", "error", "admitted_at", "finished_at", "due", "shard", "agent") VALUES
  (1099511627777, 1, 1099511627777, 1, '0', X'0182A26964A161A474657874A36F6E65', 4, 1099511627777, 0, NULL, 1795751276216855258, 1795751276227604479, 0, NULL, NULL),
  (1099511627778, 1, 1099511627778, 1, '1', X'0182A26964A162A474657874A374776F', 4, 1099511627778, 0, NULL, 1795751276216956566, 1795751276227892166, 0, NULL, NULL);
INSERT INTO input ("job", "source", "id", "run", "digest") VALUES
  (1, 'in.jsonl', 0, 1099511627777, X'0913829BBAE6AD0C554DB6E4E145A787'),
  (1, 'in.jsonl', 1, 1099511627778, X'321B5D0CBE1E437832A26CE21B79CE46');
INSERT INTO record ("number", "run", "event", "action", "n", "kind", "call", "function", "digest", "detail", "payload", "started_at", "at", "rules", "start_at", "start_n", "codec") VALUES
  (1, 1099511627777, 0, 'note', 1, 7, 0, '', NULL, '', X'9690909192A5636F756E74C4020101010190', 0, 1795751276227604479, 1, 1795751276227243085, 0, NULL),
  (2, 1099511627778, 0, 'note', 1, 7, 0, '', NULL, '', X'9690909192A5636F756E74C4020101010190', 0, 1795751276227892166, 1, 1795751276227771681, 0, NULL);
INSERT INTO memory ("key", "path", "data", "written_at") VALUES
  (1099511627777, 'count', X'0101', 1795751276227604479),
  (1099511627778, 'count', X'0101', 1795751276227892166);
INSERT INTO output ("position", "run", "number", "id", "value", "delivered") VALUES
  (1, 1099511627777, 1, 'ac614196d8f299cb221769ee5edfc4cb', X'0181A46E6F7465A36F6E65', 1),
  (2, 1099511627778, 1, '0093658160b13b966587736cfa3c24f6', X'0181A46E6F7465A374776F', 1);
INSERT INTO sink ("job", "name", "base", "offset") VALUES
  (1, 'stdout', 0, 0);
INSERT INTO file ("job", "kind", "name", "path", "beside") VALUES
  (1, 'source', 'in.jsonl', '/home/ann/in.jsonl', 'in.jsonl');
