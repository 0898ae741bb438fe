-- Are the rows still there that were read since the node's row was touched? $1, $2, $3: behind that; $4, $5, $6: up to that.
-- `erasures`, of the same snapshot: another number than then, and some of them may have been erased.
SELECT count(*), coalesce(sum(xid::text::bigint), 0)::bigint AS xids, coalesce(sum(seq), 0)::bigint AS seqs,
       (SELECT erasures FROM potik_state) AS erasures
FROM events
WHERE (generation, xid, seq) > ($1, $2, $3) AND (generation, xid, seq) <= ($4, $5, $6)
