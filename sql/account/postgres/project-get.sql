SELECT id, name, time_zone, created_at
FROM projects
WHERE id = $1;
