-- Layout 5: quotas. Events a month (UTC) that a project may store; 0: no quota of its own. Run once, inside a transaction.
ALTER TABLE projects ADD COLUMN events_per_month INTEGER NOT NULL DEFAULT 0;

PRAGMA user_version = 5;
