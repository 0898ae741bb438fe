SELECT id, name, time_zone, created_at_us
FROM project
ORDER BY id
LIMIT :rows_max;
