CREATE TABLE potik_migrations (
    version    integer     PRIMARY KEY CHECK (version > 0),
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    program    text        NOT NULL                 -- the version of Potik that applied it
)
