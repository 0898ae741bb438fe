-- Tracking plans (docs/API.md): one a project, gone with it.

CREATE TABLE tracking_plans (
    project_id integer     PRIMARY KEY REFERENCES projects (id),
    revision   bigint      NOT NULL,
    document   text        NOT NULL,
    changed_at timestamptz NOT NULL
);
CREATE TRIGGER potik_tell AFTER INSERT OR UPDATE OR DELETE ON tracking_plans FOR EACH STATEMENT EXECUTE FUNCTION potik_tell_accounts();
