-- A run that took too long (run-timeout) and cleans up.
INSERT INTO job ("job", "name", "created_at") VALUES
  (1, 'golden', 1767225600000000000);
INSERT INTO key ("key", "job", "digest", "value", "sequence") VALUES
  (1099511627777, 1, X'B3EAC2C02EC9E7E8C782F51C03A81F3D', X'01A174', 1);
INSERT INTO run ("run", "job", "key", "sequence", "label", "value", "status", "place", "attempt", "error", "admitted_at", "finished_at", "due", "shard", "agent") VALUES
  (1099511627777, 1, 1099511627777, 1, '', X'01A8746F6F206C6F6E67', 1, 1099511627777, 0, NULL, 1767225600000000000, 0, 0, NULL, NULL);
INSERT INTO record ("number", "run", "event", "action", "n", "kind", "call", "function", "digest", "detail", "payload", "started_at", "at", "rules", "start_at", "start_n", "codec") VALUES
  (1, 1099511627777, 0, 'go', 0, 1, 0, '', NULL, '', NULL, 0, 1767225600000000000, 3, NULL, NULL, NULL),
  (2, 1099511627777, 0, 'go', 1, 5, 0, '', NULL, 'timed out', NULL, 0, 1767225605000000000, NULL, NULL, NULL, NULL),
  (3, 1099511627777, 0, 'go', 2, 2, 2, 'tests.replay.agents:fetch', X'F4922B6DCFF7EAECC6A7F559D71673D1', '''too long: undo''', X'01AF746F6F206C6F6E673A20756E646F21', 1767225605000000000, 1767225606000000000, NULL, NULL, NULL, NULL);
