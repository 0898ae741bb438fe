-- The first layout: events, what was erased, and what nodes know of each other. Names are unqualified: they stand in the
-- current schema of the session. Applied once, in one transaction (docs/POSTGRES.md tells what the tables mean).

CREATE TABLE potik_state (
    is_only_row       boolean PRIMARY KEY DEFAULT true CHECK (is_only_row),
    store_id          uuid    NOT NULL DEFAULT gen_random_uuid(),
    hash_secret       bytea   NOT NULL,             -- keyed hashes of erased ids
    generation        integer NOT NULL DEFAULT 1 CHECK (generation > 0),
    system_identifier bigint  NOT NULL,             -- of the cluster the generation was begun on
    timeline          integer NOT NULL,
    max_xid           xid8    NOT NULL DEFAULT '0', -- the greatest seen by any node: less than that is a restored state
    max_seq           bigint  NOT NULL DEFAULT 0
);

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
