-- Layout 4: tracking plans. Run once, inside a transaction.
CREATE TABLE tracking_plans (
    project_id INTEGER PRIMARY KEY REFERENCES projects (id),
    revision INTEGER NOT NULL,
    document TEXT NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;
CREATE TRIGGER plans_added AFTER INSERT ON tracking_plans BEGIN UPDATE revision SET n = n + 1; END;
CREATE TRIGGER plans_changed AFTER UPDATE ON tracking_plans BEGIN UPDATE revision SET n = n + 1; END;
CREATE TRIGGER plans_removed AFTER DELETE ON tracking_plans BEGIN UPDATE revision SET n = n + 1; END;

PRAGMA user_version = 4;
