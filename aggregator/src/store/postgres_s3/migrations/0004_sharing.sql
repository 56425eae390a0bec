-- What aggregators share beside statements. Here rows are altered and removed.

-- The work of adding up a round: a row for each range of the sum, and one for joining them. A row is
-- leased by whoever does it, until a time by the database's clock; each lease has a token of its own.
CREATE TABLE jobs (
    study  TEXT        NOT NULL,
    round  BIGINT      NOT NULL,
    work   TEXT        NOT NULL,  -- digest of the set and of how it is divided, 64 hexadecimal digits
    place  BIGINT      NOT NULL,  -- of the range: 0, 1, 2, ...; -1 for joining
    token  BIGINT      NOT NULL DEFAULT 0,  -- of the last lease
    holder BIGINT      NOT NULL DEFAULT 0,  -- whose that was
    until  TIMESTAMPTZ NOT NULL DEFAULT '-infinity',
    hashes BYTEA,                 -- what the range hashes to, once it is added
    PRIMARY KEY (study, round, work, place)
);
CREATE SEQUENCE job_tokens;
DROP TABLE leases;

-- When each site that rounds do not wait for was heard of last, by any aggregator.
CREATE TABLE presence (
    study TEXT        NOT NULL REFERENCES studies,
    site  TEXT        NOT NULL,
    at    TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (study, site)
);

-- Since when, by one clock, a site counts as heard of in a round.
ALTER TABLE rounds ADD COLUMN opened TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp();
