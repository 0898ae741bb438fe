-- People who log in, their roles and sessions. Triggers tell the channel potik_accounts of each
-- commit that loops must know of; what is written often (uses, rotations, progress) tells nobody.

ALTER TABLE projects DROP CONSTRAINT projects_name_key;
ALTER TABLE projects ADD COLUMN week_start text NOT NULL DEFAULT 'monday' CHECK (week_start IN ('monday', 'sunday'));
ALTER TABLE projects ADD COLUMN retention_days integer NOT NULL DEFAULT 0;   -- 0: kept for ever
ALTER TABLE projects ADD COLUMN deleted_at timestamptz;                      -- the row stays: its id is never used again
CREATE UNIQUE INDEX projects_by_name ON projects (name) WHERE deleted_at IS NULL;

ALTER TABLE keys ADD COLUMN expires_at timestamptz;                          -- NULL: no end

-- When a key was last used, to about a minute.
CREATE TABLE key_uses (
    key_id  bigint      PRIMARY KEY REFERENCES keys (id),
    used_at timestamptz NOT NULL
);

CREATE TABLE logins (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email      text        COLLATE "C" NOT NULL UNIQUE,
    password   text        NOT NULL,                                          -- Argon2id, in its usual text form
    is_admin   boolean     NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE login_uses (
    login_id bigint      PRIMARY KEY REFERENCES logins (id) ON DELETE CASCADE,
    used_at  timestamptz NOT NULL
);

CREATE TABLE memberships (
    login_id   bigint  NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
    project_id integer NOT NULL REFERENCES projects (id),
    role       text    NOT NULL CHECK (role IN ('owner', 'analyst', 'ingest')),
    PRIMARY KEY (login_id, project_id)
);

CREATE TABLE sessions (
    id            text        COLLATE "C" PRIMARY KEY,
    login_id      bigint      NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
    refresh_count bigint      NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL,
    used_at       timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz
);
CREATE INDEX sessions_of_login ON sessions (login_id);
CREATE INDEX sessions_by_revocation ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;

-- All refresh tokens of a session, used ones too, until it is swept: one that comes again must be known. SHA-256 of the text.
CREATE TABLE refresh_tokens (
    hash       bytea       PRIMARY KEY CHECK (length(hash) = 32),
    session_id text        COLLATE "C" NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    used_at    timestamptz
);
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id);

CREATE FUNCTION potik_tell_accounts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('potik_accounts', '');
    RETURN NULL;
END $$;
CREATE TRIGGER potik_tell AFTER INSERT OR UPDATE OR DELETE ON projects FOR EACH STATEMENT EXECUTE FUNCTION potik_tell_accounts();
CREATE TRIGGER potik_tell AFTER INSERT OR UPDATE OR DELETE ON keys FOR EACH STATEMENT EXECUTE FUNCTION potik_tell_accounts();
CREATE TRIGGER potik_tell AFTER INSERT OR UPDATE OF email, is_admin OR DELETE ON logins FOR EACH STATEMENT EXECUTE FUNCTION potik_tell_accounts();
CREATE TRIGGER potik_tell AFTER INSERT OR UPDATE OR DELETE ON memberships FOR EACH STATEMENT EXECUTE FUNCTION potik_tell_accounts();
CREATE TRIGGER potik_tell AFTER UPDATE OF revoked_at ON sessions FOR EACH STATEMENT EXECUTE FUNCTION potik_tell_accounts();
