-- The last checkpoint of the log that each site has cosigned as its witness. Here rows are replaced.

CREATE TABLE cosignatures (
    study TEXT   NOT NULL REFERENCES studies,
    site  TEXT   NOT NULL,
    size  BIGINT NOT NULL,        -- leaves of the log that was cosigned
    at    BIGINT NOT NULL,        -- Unix seconds, as the cosignature says
    note  TEXT   NOT NULL,        -- the checkpoint with this cosignature alone
    PRIMARY KEY (study, site)
);
