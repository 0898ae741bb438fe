-- Asked by a link on a new connection, before it inserts: is it the database the guard has passed, in a state no older?
-- $1: node, $2: system identifier, $3: timeline, $4: generation, $5: counter of the node's row.
SELECT c.system_identifier = $2
       AND ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer = $3
       AND s.generation >= $4
       AND EXISTS (SELECT FROM potik_uncrashed)
       AND coalesce((SELECT n.counter FROM potik_nodes AS n WHERE n.node = $1), -1) >= $5 AS is_known
FROM potik_state AS s, pg_control_system() AS c
