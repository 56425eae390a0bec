-- Where each statement stands in its study's log, 0, 1, 2, ... over all of its rounds: the order in
-- which they became durable. The log itself is rebuilt from the statements. Freezing is no statement
-- and has no leaf. Rounds from before this migration have closings without a checkpoint, which this
-- version does not read: their studies do not go on.

ALTER TABLE rounds ADD COLUMN leaf INTEGER;
ALTER TABLE events ADD COLUMN leaf INTEGER;
CREATE UNIQUE INDEX rounds_leaf ON rounds (study, leaf);
CREATE UNIQUE INDEX events_leaf ON events (study, leaf);
