-- Layout 3: the audit log, erasure jobs, and what tells loops of changes. Run once, inside a transaction.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    actor_id INTEGER NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    project_id INTEGER NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_time ON audit (at);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is only added to'); END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is only added to'); END;

CREATE TABLE erasures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES projects (id),
    reason TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    person TEXT,                     -- NULL when done
    person_hash TEXT NOT NULL DEFAULT '',
    from_at INTEGER,
    to_at INTEGER,
    seq_max INTEGER NOT NULL DEFAULT 0,
    received_max INTEGER,
    position TEXT NOT NULL DEFAULT '',
    frees_ids INTEGER NOT NULL,
    is_dry_run INTEGER NOT NULL,
    events INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    requested_at INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;
CREATE INDEX erasures_open ON erasures (id) WHERE finished_at IS NULL;

-- The ids of a job, in pieces: a length (2 bytes) before each. Gone when it is done.
CREATE TABLE erasure_ids (
    erasure_id INTEGER NOT NULL REFERENCES erasures (id),
    piece INTEGER NOT NULL,
    ids BLOB NOT NULL,
    PRIMARY KEY (erasure_id, piece)
) STRICT;

-- Which node has done its part of the warehouse; the ledger's one node has the name ''.
CREATE TABLE erasure_nodes (
    erasure_id INTEGER NOT NULL REFERENCES erasures (id),
    node TEXT NOT NULL,
    PRIMARY KEY (erasure_id, node)
) STRICT, WITHOUT ROWID;

-- Raised by each change that loops must know of.
CREATE TABLE revision (
    is_only_row INTEGER PRIMARY KEY CHECK (is_only_row = 1),
    n INTEGER NOT NULL
) STRICT;
INSERT INTO revision VALUES (1, 1);
CREATE TRIGGER projects_added AFTER INSERT ON projects BEGIN UPDATE revision SET n = n + 1; END;
CREATE TRIGGER projects_changed AFTER UPDATE ON projects BEGIN UPDATE revision SET n = n + 1; END;
CREATE TRIGGER projects_removed AFTER DELETE ON projects BEGIN UPDATE revision SET n = n + 1; END;
CREATE TRIGGER keys_added AFTER INSERT ON keys BEGIN UPDATE revision SET n = n + 1; END;
CREATE TRIGGER keys_changed AFTER UPDATE ON keys BEGIN UPDATE revision SET n = n + 1; END;
CREATE TRIGGER keys_removed AFTER DELETE ON keys BEGIN UPDATE revision SET n = n + 1; END;
CREATE TRIGGER logins_added AFTER INSERT ON logins BEGIN UPDATE revision SET n = n + 1; END;
CREATE TRIGGER logins_changed AFTER UPDATE OF email, is_admin ON logins BEGIN UPDATE revision SET n = n + 1; END;
CREATE TRIGGER logins_removed AFTER DELETE ON logins BEGIN UPDATE revision SET n = n + 1; END;
CREATE TRIGGER memberships_added AFTER INSERT ON memberships BEGIN UPDATE revision SET n = n + 1; END;
CREATE TRIGGER memberships_changed AFTER UPDATE ON memberships BEGIN UPDATE revision SET n = n + 1; END;
CREATE TRIGGER memberships_removed AFTER DELETE ON memberships BEGIN UPDATE revision SET n = n + 1; END;
CREATE TRIGGER sessions_revoked AFTER UPDATE OF revoked_at ON sessions BEGIN UPDATE revision SET n = n + 1; END;

PRAGMA user_version = 3;
