-- KEM keys that sites publish ahead, each for one round: signed statements, never altered, and leaves
-- of the study's log.

CREATE TABLE round_keys (
    study       TEXT    NOT NULL REFERENCES studies (study),
    site        TEXT    NOT NULL,
    first_round INTEGER NOT NULL,
    end_round   INTEGER NOT NULL,    -- the round after the last one
    statement   BLOB    NOT NULL,    -- JSON of the signed statement
    leaf        INTEGER NOT NULL,    -- its place in the study's log
    PRIMARY KEY (study, site, first_round)
) STRICT;
CREATE UNIQUE INDEX round_keys_leaf ON round_keys (study, leaf);
