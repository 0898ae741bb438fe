-- Rows behind ($1, $2, $3) whose transactions have ended: below ($4, $5) of an earlier read-bound.sql. At most $6. Both bounds
-- and the order are those of the index events_in_commit_order.
SELECT generation, xid, seq, project_id, event_id, event_type, user_id, anonymous_id, session_id, occurred_at, received_at,
       properties
FROM events
WHERE (generation, xid, seq) > ($1::integer, $2::xid8, $3::bigint) AND (generation, xid) < ($4::integer, $5::xid8)
ORDER BY generation, xid, seq
LIMIT $6::bigint
