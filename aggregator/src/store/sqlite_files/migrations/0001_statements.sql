-- Statements in the order in which they were accepted. Nothing here is ever updated or deleted:
-- a round is the replay of its events.

CREATE TABLE studies (
    study TEXT NOT NULL PRIMARY KEY, -- digest, 64 hexadecimal digits
    file  BLOB NOT NULL              -- the signed study, byte for byte as it was posted
) STRICT;

CREATE TABLE rounds (
    study    TEXT    NOT NULL REFERENCES studies (study),
    round    INTEGER NOT NULL,
    manifest BLOB    NOT NULL,       -- JSON of the signed manifest
    PRIMARY KEY (study, round)
) STRICT;

CREATE TABLE events (
    study    TEXT    NOT NULL,
    round    INTEGER NOT NULL,
    sequence INTEGER NOT NULL,       -- 0, 1, 2, ... without a gap
    event    BLOB    NOT NULL,       -- JSON of the event
    PRIMARY KEY (study, round, sequence),
    FOREIGN KEY (study, round) REFERENCES rounds (study, round)
) STRICT;
