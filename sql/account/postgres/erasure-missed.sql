-- $1 node.
SELECT project_id, erasure_id FROM erasures_missed WHERE node = $1 ORDER BY project_id
