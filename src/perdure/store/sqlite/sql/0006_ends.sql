-- Version 6. From this version on the COMPLETED of a run's last action, where its commit has an
-- output of the run, is in the row of the last of these: event, action and number of the record,
-- its payload, which is empty where the action did nothing else than that one output, and the number
-- of the newest record then: those of its run up to that one come before it. Its time is that of the
-- run's end.
ALTER TABLE output ADD COLUMN end_event INTEGER;
ALTER TABLE output ADD COLUMN end_action TEXT;
ALTER TABLE output ADD COLUMN end_n INTEGER;
ALTER TABLE output ADD COLUMN end_payload BLOB;
ALTER TABLE output ADD COLUMN end_behind INTEGER;
-- And as numbers of fewer bytes: a time below zero is so many ns away from another one of its row. Of
-- a run that completed finished_at stands for admitted_at less it; of a record with a START inside
-- started_at and start_at stand for at plus it. The id of an output is 16 bytes where it is as many
-- in hexadecimal. The place of a run that has ended is 0.
