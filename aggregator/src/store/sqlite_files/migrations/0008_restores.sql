-- The last restore request of each site, and what the others answer. Here rows are replaced.

CREATE TABLE restores (
    study       TEXT    NOT NULL REFERENCES studies (study),
    site        TEXT    NOT NULL,
    restored_at INTEGER NOT NULL,    -- Unix seconds, as the request says
    digest      TEXT    NOT NULL,    -- of the request, 64 hexadecimal digits
    request     BLOB    NOT NULL,    -- JSON of the signed request
    PRIMARY KEY (study, site)
) STRICT;

CREATE TABLE standings (
    study    TEXT NOT NULL REFERENCES studies (study),
    asking   TEXT NOT NULL,          -- the site whose request it answers
    site     TEXT NOT NULL,          -- who answers
    digest   TEXT NOT NULL,          -- of the request
    standing BLOB NOT NULL,          -- JSON of the signed answer
    PRIMARY KEY (study, asking, site)
) STRICT;
