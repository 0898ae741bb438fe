-- What stands in the schema: our list of migrations, or tables of our names that somebody else made; and may we create here?
SELECT EXISTS (SELECT FROM pg_class WHERE relnamespace = current_schema()::regnamespace
               AND relname = 'potik_migrations') AS is_listed,
       (SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace
        AND relname IN ('potik_state', 'potik_uncrashed', 'events', 'erased', 'potik_nodes', 'projects', 'keys',
                         'key_uses', 'logins', 'login_uses', 'memberships', 'sessions', 'refresh_tokens', 'audit', 'erasures',
                         'erasure_ids', 'erasure_nodes', 'erasures_missed')
        ORDER BY relname LIMIT 1) AS foreign_table,
       current_schema()::text AS schema,
       current_user::text AS role,
       has_schema_privilege(current_schema(), 'CREATE') AS may_create
