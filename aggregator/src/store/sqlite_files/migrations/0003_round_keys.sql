-- KEM keys that sites publish ahead, each for one round: signed statements, never altered.

CREATE TABLE round_keys (
    study       TEXT    NOT NULL REFERENCES studies (study),
    site        TEXT    NOT NULL,
    first_round INTEGER NOT NULL,
    end_round   INTEGER NOT NULL,    -- the round after the last one
    statement   BLOB    NOT NULL,    -- JSON of the signed statement
    PRIMARY KEY (study, site, first_round)
) STRICT;
