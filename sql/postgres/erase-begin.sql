-- How far the rows have to be looked through, and about how many there are.
SELECT s.generation, pg_snapshot_xmax(pg_current_snapshot()) AS next_xid,
       greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0) AS events
FROM potik_state AS s, pg_class AS c
WHERE c.oid = 'events'::regclass
