-- Which transactions may have a statement under way that inserts into events: they hold its lock, taken before the statement's
-- snapshot. $1: of these only, with spaces between; NULL: all. Our own holds none.
SELECT coalesce(string_agg(DISTINCT virtualtransaction, ' '), '')
FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
  AND relation = 'events'::regclass
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND ($1::text IS NULL OR virtualtransaction = ANY (string_to_array($1, ' ')))
