INSERT INTO project (id, name, time_zone, created_at_us)
VALUES (:id, :name, :time_zone, :created_at_us)
ON CONFLICT (id) DO NOTHING;
