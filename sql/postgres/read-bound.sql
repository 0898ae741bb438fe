-- How far can be read: every transaction below oldest_xid has ended, and is seen. One below next_xid may have ended.
SELECT generation, pg_snapshot_xmin(pg_current_snapshot()) AS oldest_xid, pg_snapshot_xmax(pg_current_snapshot()) AS next_xid
FROM potik_state
