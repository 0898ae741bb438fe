-- The oldest event whose transaction has ended, but may not be read yet: not below $1.
SELECT received_at
FROM events
WHERE (generation, xid) >= ((SELECT generation FROM potik_state), $1)
ORDER BY generation, xid, seq
LIMIT 1
