-- Layout 1. Run once, inside a transaction. Times are Unix microseconds, UTC.
CREATE TABLE project (
    id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 4294967295),
    name TEXT NOT NULL UNIQUE,
    time_zone TEXT NOT NULL,
    created_at_us INTEGER NOT NULL
) STRICT;

-- A key's text is nowhere: `hash` is its SHA-256. Ids are never used again.
CREATE TABLE access_key (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES project (id),
    kind TEXT NOT NULL CHECK (kind IN ('write', 'read')),
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    last4 TEXT NOT NULL CHECK (length(last4) = 4),
    created_at_us INTEGER NOT NULL,
    revoked_at_us INTEGER
) STRICT;

PRAGMA user_version = 1;
