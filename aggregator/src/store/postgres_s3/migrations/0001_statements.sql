-- Statements in the order in which they were accepted. Nothing here is ever updated or deleted: a
-- round is the replay of its events, and a study's log the order of its statements.

CREATE TABLE studies (
    arrival BIGINT GENERATED ALWAYS AS IDENTITY, -- the order in which they came
    study   TEXT   PRIMARY KEY,                  -- digest, 64 hexadecimal digits
    file    BYTEA  NOT NULL                      -- the signed study, byte for byte as it was posted
);

-- How often something was stored of a study: whoever has seen a number knows what is new to him. Each
-- write of a study begins with its row here, so that writes of one study come one after the other.
CREATE TABLE changes (
    study  TEXT   PRIMARY KEY REFERENCES studies,
    number BIGINT NOT NULL
);

-- The places of all studies' logs, 0, 1, 2, ... in each. One table over all kinds of statements: two
-- of them cannot have the same place, whoever writes them.
CREATE TABLE leaves (
    study TEXT   NOT NULL REFERENCES studies,
    leaf  BIGINT NOT NULL,
    PRIMARY KEY (study, leaf)
);

CREATE TABLE rounds (
    study    TEXT   NOT NULL REFERENCES studies,
    round    BIGINT NOT NULL,
    manifest BYTEA  NOT NULL,  -- JSON of the signed manifest
    leaf     BIGINT NOT NULL,  -- its place in the study's log
    change   BIGINT NOT NULL,  -- the study's change that stored it
    PRIMARY KEY (study, round),
    FOREIGN KEY (study, leaf) REFERENCES leaves
);

CREATE TABLE events (
    study    TEXT   NOT NULL,
    round    BIGINT NOT NULL,
    sequence BIGINT NOT NULL,  -- 0, 1, 2, ... without a gap
    event    BYTEA  NOT NULL,  -- JSON of the event
    leaf     BIGINT,           -- its place in the study's log, if it is a statement
    change   BIGINT NOT NULL,  -- the study's change that stored it
    PRIMARY KEY (study, round, sequence),
    FOREIGN KEY (study, round) REFERENCES rounds,
    FOREIGN KEY (study, leaf) REFERENCES leaves
);

CREATE INDEX events_change ON events (study, change);

-- KEM keys that sites publish ahead, each for one round: signed statements, and leaves of the log.
CREATE TABLE round_keys (
    study       TEXT   NOT NULL REFERENCES studies,
    site        TEXT   NOT NULL,
    first_round BIGINT NOT NULL,
    end_round   BIGINT NOT NULL,  -- the round after the last one
    statement   BYTEA  NOT NULL,  -- JSON of the signed statement
    leaf        BIGINT NOT NULL,  -- its place in the study's log
    PRIMARY KEY (study, site, first_round),
    FOREIGN KEY (study, leaf) REFERENCES leaves
);

-- Who adds up a round now, and until when by the database's clock unless he says so again. It saves the
-- others the work; what keeps a round right are the keys above.
CREATE TABLE leases (
    study  TEXT        NOT NULL,
    round  BIGINT      NOT NULL,
    holder BIGINT      NOT NULL,
    until  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (study, round)
);

-- What is written to see whether the database takes writes; nothing reads it.
CREATE TABLE ready (
    id INTEGER     PRIMARY KEY CHECK (id = 1),
    at TIMESTAMPTZ NOT NULL
);
