-- The next $13 rows behind ($8, $9, $10) and below ($11, $12), in the order of reading; of them come back those selected (none
-- where $14: they are only counted), and always the last one: where to go on. event_id is NULL where it is not selected.
-- $1: project, $2: received not later, $3: person, $4, $5: received from, to; $6, $7: occurred from, to; NULL: any.
WITH looked AS MATERIALIZED (
    SELECT generation, xid, seq, event_id,
           (project_id = $1 AND received_at <= $2
            AND ($3::text IS NULL OR user_id = $3 OR anonymous_id = $3)
            AND ($4::timestamptz IS NULL OR (received_at >= $4 AND received_at < $5::timestamptz))
            AND ($6::timestamptz IS NULL OR (occurred_at >= $6 AND occurred_at < $7::timestamptz))) IS TRUE AS is_selected
    FROM events
    WHERE (generation, xid, seq) > ($8::integer, $9::xid8, $10::bigint) AND (generation, xid) < ($11::integer, $12::xid8)
    ORDER BY generation, xid, seq
    LIMIT $13::bigint
), placed AS (
    SELECT *, row_number() OVER (ORDER BY generation, xid, seq) AS place, count(*) OVER () AS looked_count,
           count(*) FILTER (WHERE is_selected) OVER () AS selected_count
    FROM looked
)
SELECT generation, xid, seq, CASE WHEN is_selected AND NOT $14::boolean THEN event_id END AS event_id, looked_count,
       selected_count
FROM placed
WHERE (is_selected AND NOT $14::boolean) OR place = looked_count
ORDER BY place
