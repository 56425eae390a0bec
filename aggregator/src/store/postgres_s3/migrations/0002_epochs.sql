-- Changes of a study's roster, and round keys under each roster: a site publishes others for a round when
-- another study is in force in it. Everything of a study is stored under the study as it was first signed.

CREATE TABLE epochs (
    study  TEXT   NOT NULL REFERENCES studies,
    number BIGINT NOT NULL,  -- 1, 2, 3, ... without a gap
    digest TEXT   NOT NULL,  -- of the epoch, 64 hexadecimal digits
    file   BYTEA  NOT NULL,  -- the signed epoch, with the study after it
    leaf   BIGINT NOT NULL,  -- its place in the study's log
    change BIGINT NOT NULL,  -- the study's change that stored it
    PRIMARY KEY (study, number),
    FOREIGN KEY (study, leaf) REFERENCES leaves
);

ALTER TABLE round_keys ADD COLUMN under TEXT; -- the study that the statement names
UPDATE round_keys SET under = study;
ALTER TABLE round_keys ALTER COLUMN under SET NOT NULL;
ALTER TABLE round_keys DROP CONSTRAINT round_keys_pkey;
ALTER TABLE round_keys ADD PRIMARY KEY (study, under, site, first_round);
