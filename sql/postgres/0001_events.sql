-- The first layout: events, what was erased, and what nodes know of each other. Names are unqualified: they stand in the
-- current schema of the session. Applied once, in one transaction (docs/POSTGRES.md tells what the tables mean).

-- One row. A generation is a stretch of time in which xids only rise: it is raised when the database was restored into
-- another cluster, or went back to an older state; so (generation, xid, seq) is the order of reading for ever.
CREATE TABLE potik_state (
    is_only_row       boolean PRIMARY KEY DEFAULT true CHECK (is_only_row),
    store_id          uuid    NOT NULL DEFAULT gen_random_uuid(),
    hash_secret       bytea   NOT NULL,             -- keyed hashes of erased ids
    generation        integer NOT NULL DEFAULT 1 CHECK (generation > 0),
    system_identifier bigint  NOT NULL,             -- of the cluster the generation was begun on
    timeline          integer NOT NULL
);
INSERT INTO potik_state (hash_secret, system_identifier, timeline)
SELECT substring(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) FOR 16),
       system_identifier,
       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer
FROM pg_control_system();

CREATE TABLE events (
    project_id   integer     NOT NULL,
    event_id     text        COLLATE "C" NOT NULL,
    event_type   text        COLLATE "C" NOT NULL,
    user_id      text        COLLATE "C",
    anonymous_id text        COLLATE "C",
    session_id   text        COLLATE "C",
    occurred_at  timestamptz NOT NULL,
    received_at  timestamptz NOT NULL,
    properties   jsonb,
    generation   integer     NOT NULL,
    xid          xid8        NOT NULL DEFAULT pg_current_xact_id(),
    seq          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (project_id, event_id)
);
-- What a batch brings: an array of these, with the keyed hash of each id (to be found in `erased`).
CREATE TYPE potik_incoming AS (
    project_id   integer,
    event_id     text,
    event_type   text,
    user_id      text,
    anonymous_id text,
    session_id   text,
    occurred_at  timestamptz,
    received_at  timestamptz,
    properties   jsonb,
    id_hash      bytea
);

-- The order of reading on.
CREATE INDEX events_in_commit_order ON events (generation, xid, seq);
CREATE INDEX events_by_receipt ON events USING brin (received_at);

-- Ids that stay refused although their rows are gone.
CREATE TABLE erased (
    project_id integer NOT NULL,
    id_hash    bytea   NOT NULL,
    PRIMARY KEY (project_id, id_hash)
);

-- One row a node: compared with the node's own copy at every connect. An older row than the copy means that the database
-- went back in time.
CREATE TABLE potik_nodes (
    node              uuid        PRIMARY KEY,
    host              text        NOT NULL,
    cursor_generation integer     NOT NULL DEFAULT 0,
    cursor_xid        xid8        NOT NULL DEFAULT '0',
    cursor_seq        bigint      NOT NULL DEFAULT 0,
    counter           bigint      NOT NULL DEFAULT 0,
    seen_at           timestamptz NOT NULL DEFAULT now()
);
