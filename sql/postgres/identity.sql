-- Which database this is, and how far its counting has come. $1: the node. `newest_xid`: of the rows of this generation; one
-- that is not below next_xid came with a dump. NULLs: no such row.
SELECT c.system_identifier,
       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer AS timeline,
       s.generation,
       s.store_id,
       s.system_identifier AS known_system_identifier,
       s.timeline AS known_timeline,
       s.hash_secret,
       (SELECT n.counter FROM potik_nodes AS n WHERE n.node = $1) AS counter,
       (SELECT e.xid FROM events AS e WHERE e.generation = s.generation
        ORDER BY e.generation DESC, e.xid DESC, e.seq DESC LIMIT 1) AS newest_xid,
       pg_snapshot_xmin(pg_current_snapshot()) AS oldest_xid,
       pg_snapshot_xmax(pg_current_snapshot()) AS next_xid,
       current_setting('fsync') AS fsync,
       NOT EXISTS (SELECT FROM potik_uncrashed) AS has_crashed,
       s.unbroken_since
FROM potik_state AS s, pg_control_system() AS c
