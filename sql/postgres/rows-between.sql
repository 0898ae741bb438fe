-- Are the rows still there that were read since the node's row was touched? $1, $2, $3: behind that; $4, $5, $6: up to that.
SELECT count(*), coalesce(sum(xid::text::bigint), 0)::bigint AS xids, coalesce(sum(seq), 0)::bigint AS seqs
FROM events
WHERE (generation, xid, seq) > ($1, $2, $3) AND (generation, xid, seq) <= ($4, $5, $6)
