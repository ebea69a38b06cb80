-- A run that was asked to stop and cleans up; another goes on.
INSERT INTO job ("job", "name", "created_at") VALUES
  (1, 'golden', 1767225600000000000);
INSERT INTO key ("key", "job", "digest", "value", "sequence") VALUES
  (1099511627777, 1, X'E6600FC176CEA2FDC70289498AF91893', X'01A46B657074', 1),
  (1099511627778, 1, X'DEC5E7F153BACA7B68F89B196E0A1E98', X'01A773746F70706564', 1);
INSERT INTO run ("run", "job", "key", "sequence", "label", "value", "status", "place", "attempt", "error", "admitted_at", "finished_at", "due", "shard", "agent") VALUES
  (1099511627777, 1, 1099511627777, 1, '', X'01A46B657074', 1, 1099511627777, 0, NULL, 1767225600000000000, 0, 0, NULL, NULL),
  (1099511627778, 1, 1099511627778, 1, '', X'01A773746F70706564', 1, 1099511627778, 0, NULL, 1767225600000000000, 0, 0, NULL, NULL);
INSERT INTO record ("number", "run", "event", "action", "n", "kind", "call", "function", "digest", "detail", "payload", "started_at", "at", "rules", "start_at", "start_n", "codec") VALUES
  (1, 1099511627777, 0, 'go', 0, 1, 0, '', NULL, '', NULL, 0, 1767225600000000000, 3, NULL, NULL, NULL),
  (2, 1099511627778, 0, 'go', 0, 1, 0, '', NULL, '', NULL, 0, 1767225600000000000, 3, NULL, NULL, NULL),
  (3, 1099511627778, 0, 'go', 1, 5, 0, '', NULL, 'cancelled', NULL, 0, 1767225603000000000, NULL, NULL, NULL, NULL),
  (4, 1099511627778, 0, 'go', 2, 2, 2, 'tests.replay.agents:fetch', X'9E47FE2FDEDC7F58361FA525F7E37625', '''stopped: undo''', X'01AE73746F707065643A20756E646F21', 1767225603000000000, 1767225604000000000, NULL, NULL, NULL, NULL);
