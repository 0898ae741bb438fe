-- What every session needs, in one round trip, and what the server is. $1, $2: milliseconds.
SELECT set_config('synchronous_commit',
                  CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
       set_config('statement_timeout', $1::int8::text, false),
       set_config('lock_timeout', $2::int8::text, false),
       set_config('idle_in_transaction_session_timeout', '60000', false),
       set_config('TimeZone', 'UTC', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('jit', 'off', false),
       current_setting('server_encoding') AS encoding,
       current_setting('transaction_read_only') AS read_only,
       pg_is_in_recovery()::text AS in_recovery,
       coalesce(current_schema(), '') AS schema
