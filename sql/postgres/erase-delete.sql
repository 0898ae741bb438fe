-- A page's rows, in the order of the primary key, as an append takes them; last the counter that nodes know erasures by.
-- $1: project, $2: ids, $3: received not later (an id that was freed and stored again is another event).
WITH gone AS (
    DELETE FROM events
    WHERE project_id = $1 AND event_id = ANY ($2::text[]) AND received_at <= $3
    RETURNING event_id
), counted AS (
    SELECT count(*) AS events FROM gone
), noted AS (
    UPDATE potik_state SET erasures = erasures + 1 WHERE (SELECT events FROM counted) > 0
)
SELECT events FROM counted
