-- The node's row, brought up to date. $1: node, $2: host, $3, $4, $5: cursor, $6: counter of the node's own copy. What is read
-- after this may be missing later only if it was erased, and then `erasures` is another number.
INSERT INTO potik_nodes AS n (node, host, cursor_generation, cursor_xid, cursor_seq, counter, seen_at)
VALUES ($1, $2, $3, $4, $5, $6 + 1, clock_timestamp())
ON CONFLICT (node) DO UPDATE
SET host = excluded.host, cursor_generation = excluded.cursor_generation, cursor_xid = excluded.cursor_xid,
    cursor_seq = excluded.cursor_seq, counter = greatest(n.counter + 1, excluded.counter), seen_at = excluded.seen_at
RETURNING counter, (SELECT erasures FROM potik_state) AS erasures
