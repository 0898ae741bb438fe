-- Which of these ids are stored. $1: project, $2: ids, $3: received not later.
SELECT event_id
FROM events
WHERE project_id = $1 AND event_id = ANY ($2::text[]) AND received_at <= $3
