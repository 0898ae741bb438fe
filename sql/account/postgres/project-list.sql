SELECT id, name, time_zone, created_at
FROM projects
ORDER BY id
LIMIT $1;
