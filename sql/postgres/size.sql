-- About how much is stored, without counting.
SELECT pg_total_relation_size(c.oid) AS bytes,
       greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0) AS events
FROM pg_class AS c
WHERE c.oid = 'events'::regclass
