-- The last checkpoint of the log that each site has cosigned as its witness. Here rows are replaced.

CREATE TABLE cosignatures (
    study TEXT    NOT NULL REFERENCES studies (study),
    site  TEXT    NOT NULL,
    size  INTEGER NOT NULL,          -- leaves of the log that was cosigned
    at    INTEGER NOT NULL,          -- Unix seconds, as the cosignature says
    note  TEXT    NOT NULL,          -- the checkpoint with this cosignature alone
    PRIMARY KEY (study, site)
) STRICT;
