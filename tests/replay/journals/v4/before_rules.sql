-- An action in the middle that sends events and replaces memory, from before rules.
INSERT INTO job ("job", "name", "created_at") VALUES
  (1, 'golden', 1767225600000000000);
INSERT INTO key ("key", "job", "digest", "value", "sequence") VALUES
  (1099511627777, 1, X'F92A5F9A3EA9E9B65721F06AC2FBA263', X'01A16B', 1);
INSERT INTO run ("run", "job", "key", "sequence", "label", "value", "status", "place", "attempt", "error", "admitted_at", "finished_at", "due", "shard", "agent") VALUES
  (1099511627777, 1, 1099511627777, 1, '', X'01A36F6C64', 1, 1099511627777, 0, NULL, 1767225600000000000, 0, 0, NULL, NULL);
INSERT INTO record ("number", "run", "event", "action", "n", "kind", "call", "function", "digest", "detail", "payload", "started_at", "at", "rules", "start_at", "start_n", "codec") VALUES
  (1, 1099511627777, 0, 'ask', 0, 1, 0, '', NULL, '', NULL, 0, 1767225600000000000, NULL, NULL, NULL, NULL),
  (2, 1099511627777, 0, 'ask', 1, 2, 1, 'tests.replay.agents:fetch', X'472B538391B9AF6708FA2BE1F00FB8AA', '''before <>''', X'01AA6265666F7265203C3E21', 1767225600000000000, 1767225601000000000, NULL, NULL, NULL, NULL),
  (3, 1099511627777, 0, 'ask', 2, 2, 2, 'tests.replay.agents:fetch', X'0D1FAE347D7D84DA9B81CBC7D50F04D9', '''sent 8c8bfc5b99a3938f724de5edf2f7521f 89830ce5f877b60a9e7075b95592eff8 <>''', X'01D94A73656E74203863386266633562393961333933386637323464653565646632663735323166203839383330636535663837376236306139653730373562393535393265666638203C3E21', 1767225601000000000, 1767225602000000000, NULL, NULL, NULL, NULL);
