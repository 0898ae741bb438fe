INSERT INTO erasure_ids (erasure_id, piece, ids) VALUES ($1, $2, $3)
