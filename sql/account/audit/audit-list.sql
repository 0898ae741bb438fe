-- $1 from, $2 to (not included), $3 project_id (0: all), $4 before this id (0: from the newest), $5 at most.
SELECT id, at, actor, actor_id, address, action, project_id, target, detail
FROM audit
WHERE at >= $1 AND at < $2 AND ($3 = 0 OR project_id = $3) AND ($4 = 0 OR id < $4)
ORDER BY id DESC
LIMIT $5
