-- Quotas (docs/API.md): events a month (UTC) that a project may store; 0: no quota of its own.

ALTER TABLE projects ADD COLUMN events_per_month bigint NOT NULL DEFAULT 0;
