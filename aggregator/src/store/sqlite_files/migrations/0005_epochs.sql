-- Changes of a study's roster, and round keys under each roster: a site publishes others for a round when
-- another study is in force in it. Everything of a study is stored under the study as it was first signed.

CREATE TABLE epochs (
    study  TEXT    NOT NULL REFERENCES studies (study),
    number INTEGER NOT NULL,         -- 1, 2, 3, ... without a gap
    digest TEXT    NOT NULL,         -- of the epoch, 64 hexadecimal digits
    file   BLOB    NOT NULL,         -- the signed epoch, with the study after it
    leaf   INTEGER NOT NULL,         -- its place in the study's log
    PRIMARY KEY (study, number)
) STRICT;
CREATE UNIQUE INDEX epochs_leaf ON epochs (study, leaf);

CREATE TABLE round_keys_under (
    study       TEXT    NOT NULL REFERENCES studies (study),
    under       TEXT    NOT NULL,    -- the study that the statement names
    site        TEXT    NOT NULL,
    first_round INTEGER NOT NULL,
    end_round   INTEGER NOT NULL,    -- the round after the last one
    statement   BLOB    NOT NULL,    -- JSON of the signed statement
    leaf        INTEGER NOT NULL,    -- its place in the study's log
    PRIMARY KEY (study, under, site, first_round)
) STRICT;
INSERT INTO round_keys_under
    SELECT study, study, site, first_round, end_round, statement, leaf FROM round_keys;
DROP TABLE round_keys;
ALTER TABLE round_keys_under RENAME TO round_keys;
CREATE UNIQUE INDEX round_keys_leaf ON round_keys (study, leaf);
