-- The orders of as_completed and of a TaskGroup's tasks.
INSERT INTO job ("job", "name", "created_at") VALUES
  (1, 'golden', 1767225600000000000);
INSERT INTO key ("key", "job", "digest", "value", "sequence") VALUES
  (1099511627777, 1, X'0E9EC5B9D1B0D9A95FBA872D20B627CD', X'01A16F', 1);
INSERT INTO run ("run", "job", "key", "sequence", "label", "value", "status", "place", "attempt", "error", "admitted_at", "finished_at", "due") VALUES
  (1099511627777, 1, 1099511627777, 1, '', X'01A0', 1, 1099511627777, 0, NULL, 1767225600000000000, 0, 0);
INSERT INTO record ("number", "run", "event", "action", "n", "kind", "call", "function", "digest", "detail", "payload", "started_at", "at") VALUES
  (1, 1099511627777, 0, 'go', 0, 1, 0, '', NULL, '', NULL, 0, 1767225600000000000),
  (2, 1099511627777, 0, 'go', 1, 2, 2, 'tests.replay.agents:fetch', X'128554DB40584023B7F2953393B3CE9C', '''call 1'', 1', X'01A763616C6C203121', 1767225600000000000, 1767225601000000000),
  (3, 1099511627777, 0, 'go', 2, 2, 3, 'tests.replay.agents:fetch', X'E908C17756D1F814E0A999F30F6F9AF9', '''call 2'', 2', X'01A763616C6C203221', 1767225600000000000, 1767225602000000000),
  (4, 1099511627777, 0, 'go', 3, 2, 1, 'tests.replay.agents:fetch', X'ACFEFD48B9A63BD814B63F974399AC0B', '''call 3'', 3', X'01A763616C6C203321', 1767225600000000000, 1767225603000000000),
  (5, 1099511627777, 0, 'go', 4, 2, 5, 'tests.replay.agents:fetch', X'56C1D6692D44A6071E8058E009A11A78', '''task ya'', 1', X'01A87461736B20796121', 1767225603000000000, 1767225604000000000),
  (6, 1099511627777, 0, 'go', 5, 2, 6, 'tests.replay.agents:fetch', X'F648ED7624569496D7A9126163B6C072', '''task za'', 1.3', X'01A87461736B207A6121', 1767225603000000000, 1767225604300000000),
  (7, 1099511627777, 0, 'go', 6, 2, 7, 'tests.replay.agents:fetch', X'2E392BAFFCCEADEE21EADC64DFA07194', '''task yb'', 1', X'01A87461736B20796221', 1767225604000000000, 1767225605000000000),
  (8, 1099511627777, 0, 'go', 7, 2, 8, 'tests.replay.agents:fetch', X'CD47708D6F84A6D1C1604B465F48B266', '''task zb'', 1.3', X'01A87461736B207A6221', 1767225604300000000, 1767225605600000000),
  (9, 1099511627777, 0, 'go', 8, 2, 4, 'tests.replay.agents:fetch', X'985CA526D1F7CFB1E353F444BBF16D54', '''task xa'', 3', X'01A87461736B20786121', 1767225603000000000, 1767225606000000000);
