-- The audit log, which is only added to, and erasure jobs (docs/SECURITY.md).

CREATE TABLE audit (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    actor      text        NOT NULL,
    actor_id   bigint      NOT NULL,
    address    text        NOT NULL,
    action     text        NOT NULL,
    project_id integer     NOT NULL,                                          -- 0: of no project
    target     text        NOT NULL,
    detail     text        NOT NULL
);
CREATE INDEX audit_by_time ON audit (at);
CREATE FUNCTION potik_audit_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only added to';
END $$;
CREATE TRIGGER audit_is_only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION potik_audit_is_only_added_to();

CREATE TABLE erasures (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id   integer     NOT NULL REFERENCES projects (id),
    reason       text        NOT NULL,
    kind         text        NOT NULL,
    state        text        NOT NULL,
    person       text,                                                        -- NULL when done
    person_hash  text        NOT NULL DEFAULT '',
    from_at      timestamptz,
    to_at        timestamptz,
    seq_max      bigint      NOT NULL DEFAULT 0,
    received_max timestamptz,
    position     text        NOT NULL DEFAULT '',
    frees_ids    boolean     NOT NULL,
    is_dry_run   boolean     NOT NULL,
    events       bigint      NOT NULL DEFAULT 0,
    done         bigint      NOT NULL DEFAULT 0,
    total        bigint      NOT NULL DEFAULT 0,
    error        text        NOT NULL DEFAULT '',
    requested_at timestamptz NOT NULL,
    finished_at  timestamptz
);
CREATE INDEX erasures_open ON erasures (id) WHERE finished_at IS NULL;

-- The ids of a job, in pieces: a length (2 bytes) before each. Gone when it is done.
CREATE TABLE erasure_ids (
    erasure_id bigint  NOT NULL REFERENCES erasures (id),
    piece      integer NOT NULL,
    ids        bytea   NOT NULL,
    PRIMARY KEY (erasure_id, piece)
);

-- Which node has done its part of the warehouse.
CREATE TABLE erasure_nodes (
    erasure_id bigint NOT NULL REFERENCES erasures (id),
    node       text   COLLATE "C" NOT NULL,
    PRIMARY KEY (erasure_id, node)
);

