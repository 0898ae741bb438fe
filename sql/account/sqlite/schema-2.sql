-- Layout 2: people who log in, their roles and sessions. Run once, inside a transaction. Tables and
-- columns are named as in PostgreSQL (sql/postgres/0003_people.sql). Times are Unix microseconds, UTC; truths 0 or 1.
CREATE TABLE projects (
    id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 2147483647),
    name TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    week_start TEXT NOT NULL DEFAULT 'monday' CHECK (week_start IN ('monday', 'sunday')),
    retention_days INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;
INSERT INTO projects (id, name, time_zone, created_at) SELECT id, name, time_zone, created_at_us FROM project;
-- A deleted project's row stays, so that its id is never used again; its name is free.
CREATE UNIQUE INDEX projects_by_name ON projects (name) WHERE deleted_at IS NULL;

-- A key's text is nowhere: `hash` is its SHA-256. Ids are never used again.
CREATE TABLE keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES projects (id),
    kind TEXT NOT NULL CHECK (kind IN ('write', 'read')),
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    last4 TEXT NOT NULL CHECK (length(last4) = 4),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;
INSERT INTO keys (id, project_id, kind, name, hash, last4, created_at, revoked_at)
SELECT id, project_id, kind, name, hash, last4, created_at_us, revoked_at_us FROM access_key;
DROP TABLE access_key;
DROP TABLE project;

-- When a key was last used, to about a minute. Apart, so that writing it down tells no loop of a change.
CREATE TABLE key_uses (
    key_id INTEGER PRIMARY KEY REFERENCES keys (id),
    used_at INTEGER NOT NULL
) STRICT;

CREATE TABLE logins (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    email TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL,
    is_admin INTEGER NOT NULL CHECK (is_admin IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE login_uses (
    login_id INTEGER PRIMARY KEY REFERENCES logins (id) ON DELETE CASCADE,
    used_at INTEGER NOT NULL
) STRICT;

CREATE TABLE memberships (
    login_id INTEGER NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
    project_id INTEGER NOT NULL REFERENCES projects (id),
    role TEXT NOT NULL CHECK (role IN ('owner', 'analyst', 'ingest')),
    PRIMARY KEY (login_id, project_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    login_id INTEGER NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
    refresh_count INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_of_login ON sessions (login_id);
CREATE INDEX sessions_by_revocation ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;

-- All refresh tokens of a session, used ones too, until it is swept: one that comes again must be known.
CREATE TABLE refresh_tokens (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    used_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id);

PRAGMA user_version = 2;
