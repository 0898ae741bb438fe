SELECT id, name, time_zone, created_at_us
FROM project
WHERE id = :id;
