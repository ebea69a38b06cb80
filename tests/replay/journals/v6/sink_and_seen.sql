-- Outputs in the outbox: one delivered, one not; a run in the middle.
INSERT INTO job ("job", "name", "created_at") VALUES
  (1, 'golden', 1767225600000000000);
INSERT INTO key ("key", "job", "digest", "value", "sequence") VALUES
  (1099511627777, 1, X'71E3B30D36C35C32D9B7AFD5958A3350', X'01A473616D65', 3);
INSERT INTO run ("run", "job", "key", "sequence", "label", "value", "status", "place", "attempt", "error", "admitted_at", "finished_at", "due", "shard", "agent") VALUES
  (1099511627777, 1, 1099511627777, 1, '', X'01A36F6E65', 4, 0, 0, NULL, 1767225600000000000, -1000000000, 0, NULL, NULL),
  (1099511627778, 1, 1099511627777, 2, '', X'01A374776F', 4, 0, 0, NULL, 1767225600000000000, -2000000000, 0, NULL, NULL),
  (1099511627779, 1, 1099511627777, 3, '', X'01A57468726565', 1, 1099511627779, 0, NULL, 1767225600000000000, 0, 0, NULL, NULL);
INSERT INTO record ("number", "run", "event", "action", "n", "kind", "call", "function", "digest", "detail", "payload", "started_at", "at", "rules", "start_at", "start_n", "codec") VALUES
  (1, 1099511627777, 0, 'go', 0, 1, 0, '', NULL, '', NULL, 0, 1767225600000000000, 3, NULL, NULL, NULL),
  (2, 1099511627777, 0, 'go', 1, 2, 1, 'tests.replay.agents:fetch', X'D3E857450A72C67132D9B708CBF8B012', '''one''', X'01A46F6E6521', 1767225600000000000, 1767225601000000000, NULL, NULL, NULL, NULL),
  (3, 1099511627778, 0, 'go', 0, 1, 0, '', NULL, '', NULL, 0, 1767225601000000000, 3, NULL, NULL, NULL),
  (4, 1099511627778, 0, 'go', 1, 2, 1, 'tests.replay.agents:fetch', X'5AB434E3A631A47630DF32B89047083F', '''two''', X'01A474776F21', 1767225601000000000, 1767225602000000000, NULL, NULL, NULL, NULL),
  (5, 1099511627779, 0, 'go', 0, 1, 0, '', NULL, '', NULL, 0, 1767225602000000000, 3, NULL, NULL, NULL);
INSERT INTO output ("position", "run", "number", "id", "value", "delivered", "end_event", "end_action", "end_n", "end_payload", "end_behind") VALUES
  (1, 1099511627777, 1, X'8FE4DFCB8B8ED3F55EDE3F4E940EB6F8', X'01A46F6E6521', 1, 0, 'go', 1, X'', 2),
  (2, 1099511627778, 1, X'A173189FBD42C51E343E5F7C786E08F2', X'01A474776F21', 0, 0, 'go', 1, X'', 4);
INSERT INTO sink ("job", "name", "base", "offset") VALUES
  (1, 'callable', 0, 0);
