-- Which of these ids are taken: stored, or erased. Only project_id, event_id and id_hash of the rows are set.
SELECT i.project_id, i.event_id
FROM unnest($1::potik_incoming[]) AS i
WHERE (SELECT true FROM events AS e WHERE e.project_id = i.project_id AND e.event_id = i.event_id)
   OR (SELECT true FROM erased AS e WHERE e.project_id = i.project_id AND e.id_hash = i.id_hash)
