-- A gather in the other order of its calls; a race, its winner recorded.
INSERT INTO job ("job", "name", "created_at") VALUES
  (1, 'golden', 1767225600000000000);
INSERT INTO key ("key", "job", "digest", "value", "sequence") VALUES
  (1099511627777, 1, X'CEE8CE7C3BB67D0623FEC13021C07761', X'01A167', 1);
INSERT INTO run ("run", "job", "key", "sequence", "label", "value", "status", "place", "attempt", "error", "admitted_at", "finished_at", "due", "shard", "agent") VALUES
  (1099511627777, 1, 1099511627777, 1, '', X'01A0', 1, 1099511627777, 0, NULL, 1767225600000000000, 0, 0, NULL, NULL);
INSERT INTO record ("number", "run", "event", "action", "n", "kind", "call", "function", "digest", "detail", "payload", "started_at", "at", "rules", "start_at", "start_n", "codec") VALUES
  (1, 1099511627777, 0, 'go', 0, 1, 0, '', NULL, '', NULL, 0, 1767225600000000000, 3, NULL, NULL, NULL),
  (2, 1099511627777, 0, 'go', 1, 2, 2, 'tests.replay.agents:fetch', X'9EB87264FAC484CA24D929D7876A0487', '''early'', 1', X'01A66561726C7921', 1767225600000000000, 1767225601000000000, NULL, NULL, NULL, NULL),
  (3, 1099511627777, 0, 'go', 2, 2, 1, 'tests.replay.agents:fetch', X'AEE74E2C1C13A3016AFF34C1D33FE3B7', '''late'', 3', X'01A56C61746521', 1767225600000000000, 1767225603000000000, NULL, NULL, NULL, NULL),
  (4, 1099511627777, 0, 'go', 3, 2, 4, 'tests.replay.agents:fetch', X'2AD1C671831A07287DD22C0E1CB1A4C3', '''quick'', 1', X'01A6717569636B21', 1767225603000000000, 1767225604000000000, NULL, NULL, NULL, NULL);
