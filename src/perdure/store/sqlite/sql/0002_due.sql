-- Version 2. A run may be due later: it joins its key's queue then, with a new place. From this
-- version on a journal may hold signals (record kinds 11 and 12) and notes (13).
ALTER TABLE run ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
