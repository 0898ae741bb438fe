-- What is durable now, in one snapshot: all of it stands below (generation, next_xid). $1: now, by our own clock; `ahead`: the
-- newest receipt of what was received later than that, by another clock (NULL: nothing was). BRIN finds those few.
SELECT generation, pg_snapshot_xmax(pg_current_snapshot()) AS next_xid,
       (SELECT max(received_at) FROM events WHERE received_at > $1) AS ahead
FROM potik_state
