-- What waits for signatures: studies that not all of their sites have signed, and proposed epochs. These
-- rows go again, once what they are of is complete, or its time is over.

CREATE TABLE drafts (
    study     TEXT   PRIMARY KEY,  -- digest, 64 hexadecimal digits
    file      BYTEA  NOT NULL,     -- the study file without signatures
    posted_at BIGINT NOT NULL      -- seconds since 1970, by the clock of the aggregator that took it
);

CREATE TABLE draft_signatures (
    study     TEXT  NOT NULL REFERENCES drafts ON DELETE CASCADE,
    site      TEXT  NOT NULL,
    signature BYTEA NOT NULL,      -- JSON of the site's signature
    PRIMARY KEY (study, site)
);

CREATE TABLE proposals (
    study  TEXT   NOT NULL REFERENCES studies,
    digest TEXT   NOT NULL,        -- of the epoch
    number BIGINT NOT NULL,        -- of the epoch
    file   BYTEA  NOT NULL,        -- the epoch with the study after it, without signatures
    at     BIGINT NOT NULL,        -- when it was first sent, in seconds since 1970
    PRIMARY KEY (study, digest)
);

CREATE TABLE proposal_signatures (
    study     TEXT  NOT NULL,
    digest    TEXT  NOT NULL,
    signature BYTEA NOT NULL,      -- JSON of the site's signature; a site with new keys has two
    PRIMARY KEY (study, digest, signature),
    FOREIGN KEY (study, digest) REFERENCES proposals ON DELETE CASCADE
);

-- Which epoch a site proposes: one at a time.
CREATE TABLE proposers (
    study  TEXT   NOT NULL,
    site   TEXT   NOT NULL,
    digest TEXT   NOT NULL,
    change BIGINT NOT NULL,        -- the study's change that stored it
    PRIMARY KEY (study, site),
    FOREIGN KEY (study, digest) REFERENCES proposals ON DELETE CASCADE
);
