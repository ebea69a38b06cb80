-- A sleep and a timeout that came due, a sleep that did not.
INSERT INTO job ("job", "name", "created_at") VALUES
  (1, 'golden', 1767225600000000000);
INSERT INTO key ("key", "job", "digest", "value", "sequence") VALUES
  (1099511627777, 1, X'B3EAC2C02EC9E7E8C782F51C03A81F3D', X'01A174', 1);
INSERT INTO run ("run", "job", "key", "sequence", "label", "value", "status", "place", "attempt", "error", "admitted_at", "finished_at", "due", "shard", "agent") VALUES
  (1099511627777, 1, 1099511627777, 1, '', X'01A0', 3, 1099511627777, 0, NULL, 1767225600000000000, 0, 0, NULL, NULL);
INSERT INTO record ("number", "run", "event", "action", "n", "kind", "call", "function", "digest", "detail", "payload", "started_at", "at", "rules", "start_at", "start_n", "codec") VALUES
  (1, 1099511627777, 0, 'go', 0, 1, 0, '', NULL, '', NULL, 0, 1767225600000000000, 3, NULL, NULL, NULL),
  (2, 1099511627777, 0, 'go', 1, 4, 0, '', NULL, '', NULL, 0, 1767225602000000512, NULL, NULL, NULL, NULL),
  (3, 1099511627777, 0, 'go', 2, 4, 0, '', NULL, '', NULL, 0, 1767225612000001024, NULL, NULL, NULL, NULL);
