-- Made by an agent that another one is not (see test_replay.py).
INSERT INTO job ("job", "name", "created_at") VALUES
  (1, 'golden', 1767225600000000000);
INSERT INTO key ("key", "job", "digest", "value", "sequence") VALUES
  (1099511627777, 1, X'ED9A01313704ABDDE1B33F0118818FC2', X'01A161', 1);
INSERT INTO run ("run", "job", "key", "sequence", "label", "value", "status", "place", "attempt", "error", "admitted_at", "finished_at", "due", "shard", "agent") VALUES
  (1099511627777, 1, 1099511627777, 1, '', X'01A161', 1, 1099511627777, 0, NULL, 1767225600000000000, 0, 0, NULL, NULL);
INSERT INTO record ("number", "run", "event", "action", "n", "kind", "call", "function", "digest", "detail", "payload", "started_at", "at", "rules", "start_at", "start_n", "codec") VALUES
  (1, 1099511627777, 0, 'go', 0, 1, 0, '', NULL, '', NULL, 0, 1767225600000000000, 3, NULL, NULL, NULL),
  (2, 1099511627777, 0, 'go', 1, 2, 1, 'tests.replay.agents:fetch', X'CF52F1ADB4794F8F9CE84D0FF0DA2C01', '''a: fetch''', X'01A9613A20666574636821', 1767225600000000000, 1767225601000000000, NULL, NULL, NULL, NULL),
  (3, 1099511627777, 0, 'go', 2, 2, 2, 'tests.replay.agents:fetch', X'EC159831361B1FF39A1D9E47C825A3A6', '''a: parse''', X'01A9613A20706172736521', 1767225601000000000, 1767225602000000000, NULL, NULL, NULL, NULL);
