-- Begins a generation, under a lock that no insert shares. $1: it must be greater than that, too. $2: for a crash alone,
-- which loses nothing: what was told before holds.
WITH uncrashed AS (INSERT INTO potik_uncrashed DEFAULT VALUES ON CONFLICT DO NOTHING)
UPDATE potik_state
SET generation = greatest(generation, $1) + 1,
    unbroken_since = CASE WHEN $2 THEN unbroken_since ELSE greatest(generation, $1) + 1 END,
    system_identifier = (SELECT system_identifier FROM pg_control_system()),
    timeline = ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer
RETURNING generation
