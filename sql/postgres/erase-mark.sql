-- From its commit on the ids are refused, although their rows still stand. $1: project, $2: keyed hashes of the ids.
INSERT INTO erased (project_id, id_hash)
SELECT $1, i.id_hash
FROM unnest($2::bytea[]) AS i (id_hash)
ON CONFLICT DO NOTHING
