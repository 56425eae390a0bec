-- What is written to see whether the database takes writes; nothing reads it.

CREATE TABLE ready (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;
