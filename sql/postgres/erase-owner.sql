-- May we VACUUM? And the session that may have to be cancelled.
SELECT pg_has_role(relowner, 'USAGE') AS is_owner, pg_backend_pid() AS pid FROM pg_class WHERE oid = 'events'::regclass
