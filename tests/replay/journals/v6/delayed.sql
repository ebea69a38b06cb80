-- Runs that are due later.
INSERT INTO job ("job", "name", "created_at") VALUES
  (1, 'golden', 1767225600000000000);
INSERT INTO key ("key", "job", "digest", "value", "sequence") VALUES
  (1099511627777, 1, X'980BEE7C45E97D4FC4B9FB98B583B291', X'01A164', 2),
  (1099511627778, 1, X'EBD2704921B869B0B259CE7AF7C0A03C', X'01A165', 1);
INSERT INTO run ("run", "job", "key", "sequence", "label", "value", "status", "place", "attempt", "error", "admitted_at", "finished_at", "due", "shard", "agent") VALUES
  (1099511627777, 1, 1099511627777, 1, 'soon', X'01A864756520736F6F6E', 3, 1099511627777, 0, NULL, 1767225600000000000, 0, 1767225700000000000, NULL, NULL),
  (1099511627778, 1, 1099511627777, 2, 'far', X'01B064756520696E2063656E747572696573', 3, 1099511627778, 0, NULL, 1767225600000000000, 0, 8074425600000000000, NULL, NULL),
  (1099511627779, 1, 1099511627778, 1, '', X'01A76174206F6E6365', 4, 0, 0, NULL, 1767225600000000000, -1000000000, 0, NULL, NULL);
INSERT INTO input ("job", "source", "id", "run", "digest") VALUES
  (1, '', 'far', 1099511627778, X'7A4E78E392FC4C71B7F6F07D8DD22723'),
  (1, '', 'soon', 1099511627777, X'6F717FB8F188B225A5F106762C360CCC');
INSERT INTO record ("number", "run", "event", "action", "n", "kind", "call", "function", "digest", "detail", "payload", "started_at", "at", "rules", "start_at", "start_n", "codec") VALUES
  (1, 1099511627779, 0, 'go', 0, 1, 0, '', NULL, '', NULL, 0, 1767225600000000000, 3, NULL, NULL, NULL),
  (2, 1099511627779, 0, 'go', 1, 2, 1, 'tests.replay.agents:fetch', X'913BFC2E71FBC8A1D6D6AD6B3E9F561D', '''at once''', X'01A86174206F6E636521', 1767225600000000000, 1767225601000000000, NULL, NULL, NULL, NULL);
INSERT INTO output ("position", "run", "number", "id", "value", "delivered", "end_event", "end_action", "end_n", "end_payload", "end_behind") VALUES
  (1, 1099511627779, 1, X'F5AF72CA8AD480EC3CA679242A0CAFC2', X'01A86174206F6E636521', 1, 0, 'go', 1, X'', 2);
