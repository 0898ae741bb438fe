-- $1 node, $2 project_id, $3 erasure_id: another one's, missed meanwhile, stays.
DELETE FROM erasures_missed WHERE node = $1 AND project_id = $2 AND erasure_id = $3
