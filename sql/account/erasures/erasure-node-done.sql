INSERT INTO erasure_nodes (erasure_id, node) VALUES ($1, $2) ON CONFLICT DO NOTHING
