-- A batch, or a piece of one: rows sorted by (project_id, event_id) and unique, so that two batches with the same ids wait
-- for each other in one order. What comes back was stored by this statement; every other row was stored before, or erased.
-- The first part of the condition is asked once a statement: as long as nothing was ever erased, no row is looked up.
INSERT INTO events (project_id, event_id, event_type, user_id, anonymous_id, session_id, occurred_at, received_at,
                    properties, seq, generation)
SELECT i.project_id, i.event_id, i.event_type, i.user_id, i.anonymous_id, i.session_id, i.occurred_at, i.received_at,
       i.properties, i.seq, (SELECT generation FROM potik_state)
FROM unnest($1::potik_incoming[]) AS i
WHERE (SELECT NOT EXISTS (SELECT FROM erased))
   OR (SELECT true FROM erased AS e WHERE e.project_id = i.project_id AND e.id_hash = i.id_hash) IS NULL
ON CONFLICT (project_id, event_id) DO NOTHING
RETURNING project_id, event_id
