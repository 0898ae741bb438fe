-- $1 at, $2 actor, $3 actor_id, $4 address, $5 action, $6 project_id, $7 target, $8 detail.
INSERT INTO audit (at, actor, actor_id, address, action, project_id, target, detail)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
