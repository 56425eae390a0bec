-- What waits for signatures: studies that not all of their sites have signed, and proposed epochs. These
-- rows go again, once what they are of is complete, or its time is over.

CREATE TABLE drafts (
    study     TEXT    NOT NULL PRIMARY KEY, -- digest, 64 hexadecimal digits
    file      BLOB    NOT NULL,             -- the study file without signatures
    posted_at INTEGER NOT NULL              -- seconds since 1970
) STRICT;

CREATE TABLE draft_signatures (
    study     TEXT NOT NULL REFERENCES drafts (study) ON DELETE CASCADE,
    site      TEXT NOT NULL,
    signature BLOB NOT NULL,                -- JSON of the site's signature
    PRIMARY KEY (study, site)
) STRICT;

CREATE TABLE proposals (
    study  TEXT    NOT NULL REFERENCES studies (study),
    digest TEXT    NOT NULL,                -- of the epoch
    number INTEGER NOT NULL,                -- of the epoch
    file   BLOB    NOT NULL,                -- the epoch with the study after it, without signatures
    at     INTEGER NOT NULL,                -- when it was first sent, in seconds since 1970
    PRIMARY KEY (study, digest)
) STRICT;

CREATE TABLE proposal_signatures (
    study     TEXT NOT NULL,
    digest    TEXT NOT NULL,
    signature BLOB NOT NULL,                -- JSON of the site's signature; a site with new keys has two
    PRIMARY KEY (study, digest, signature),
    FOREIGN KEY (study, digest) REFERENCES proposals (study, digest) ON DELETE CASCADE
) STRICT;

-- Which epoch a site proposes: one at a time.
CREATE TABLE proposers (
    study  TEXT NOT NULL,
    site   TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (study, site),
    FOREIGN KEY (study, digest) REFERENCES proposals (study, digest) ON DELETE CASCADE
) STRICT;
