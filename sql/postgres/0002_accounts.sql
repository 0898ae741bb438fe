-- Projects and keys: who may write events where, and who may read them. Nodes cache them; each commit here tells the channel
-- potik_accounts. Numbers of projects are those of events.project_id.

CREATE TABLE projects (
    id         integer     PRIMARY KEY CHECK (id > 0),
    name       text        NOT NULL UNIQUE,
    time_zone  text        NOT NULL,              -- an IANA name: where a day begins
    created_at timestamptz NOT NULL
);

-- A key's text is nowhere: `hash` is its SHA-256, `last4` its last characters. Ids are never used again.
CREATE TABLE keys (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id integer     NOT NULL REFERENCES projects (id),
    kind       text        NOT NULL CHECK (kind IN ('write', 'read')),
    name       text        NOT NULL,
    hash       bytea       NOT NULL UNIQUE CHECK (length(hash) = 32),
    last4      text        NOT NULL CHECK (length(last4) = 4),
    created_at timestamptz NOT NULL,
    revoked_at timestamptz                        -- NULL: in force
);
