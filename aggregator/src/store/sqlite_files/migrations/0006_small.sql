-- Envelopes and bodies of small contributions, stored in the transaction of their statements. Those of
-- larger ones are files, and so is what a site sent again in place of what was damaged here.

CREATE TABLE small (
    study     TEXT    NOT NULL,
    round     INTEGER NOT NULL,
    site      TEXT    NOT NULL,
    envelopes BLOB    NOT NULL,      -- their lengths (8 bytes each, little-endian), then their bytes
    body      BLOB,                  -- away once it was found damaged, or was kept for long enough
    at        INTEGER NOT NULL,      -- when it was stored, in seconds since 1970
    PRIMARY KEY (study, round, site),
    FOREIGN KEY (study, round) REFERENCES rounds (study, round)
) STRICT;
