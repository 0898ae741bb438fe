-- Who holds the oldest transaction open: $1, its xid. For how long, where we may see it (else NULL: another role's session).
SELECT pid, coalesce(usename, '') AS who, coalesce(application_name, '') AS program,
       coalesce((extract(epoch FROM clock_timestamp() - xact_start) * 1000)::bigint, -1) AS ms
FROM pg_stat_activity
WHERE backend_xid::text::bigint = ($1::xid8::text::bigint & 4294967295)
UNION ALL
SELECT 0, owner, gid, coalesce((extract(epoch FROM clock_timestamp() - prepared) * 1000)::bigint, -1)
FROM pg_prepared_xacts
WHERE transaction::text::bigint = ($1::xid8::text::bigint & 4294967295)
LIMIT 1
