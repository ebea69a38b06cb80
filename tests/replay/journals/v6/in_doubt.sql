-- A call with a reconciler that is done, another in doubt.
INSERT INTO job ("job", "name", "created_at") VALUES
  (1, 'golden', 1767225600000000000);
INSERT INTO key ("key", "job", "digest", "value", "sequence") VALUES
  (1099511627777, 1, X'71B5D69BA21A7FA8FDA63DE3C95EF775', X'01A169', 1);
INSERT INTO run ("run", "job", "key", "sequence", "label", "value", "status", "place", "attempt", "error", "admitted_at", "finished_at", "due", "shard", "agent") VALUES
  (1099511627777, 1, 1099511627777, 1, '', X'01A0', 1, 1099511627777, 0, NULL, 1767225600000000000, 0, 0, NULL, NULL);
INSERT INTO record ("number", "run", "event", "action", "n", "kind", "call", "function", "digest", "detail", "payload", "started_at", "at", "rules", "start_at", "start_n", "codec") VALUES
  (1, 1099511627777, 0, 'go', 0, 1, 0, '', NULL, '', NULL, 0, 1767225600000000000, 3, NULL, NULL, NULL),
  (2, 1099511627777, 0, 'go', 0, 6, 1, 'tests.replay.agents:charge', X'77794154F9957044FFBE06F4DEF31FE017C3F7CB773248C5FA535943', '''visa'', Decimal(''10.50'')', NULL, 0, 1767225600000000000, NULL, NULL, NULL, NULL),
  (3, 1099511627777, 0, 'go', 1, 2, 1, 'tests.replay.agents:charge', X'77794154F9957044FFBE06F4DEF31FE017C3F7CB773248C5FA535943', '''visa'', Decimal(''10.50'')', X'01B5636861726765642031302E353020746F2076697361', 1767225600000000000, 1767225602000000000, NULL, NULL, NULL, NULL),
  (4, 1099511627777, 0, 'go', 0, 6, 2, 'tests.replay.agents:charge', X'61263BEF5BA29D17EFF3AF9DB58D528817C3F7241F9848C5FAB882A3', '''amex'', Decimal(''99.90'')', NULL, 0, 1767225602000000000, NULL, NULL, NULL, NULL);
