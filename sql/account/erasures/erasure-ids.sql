SELECT ids FROM erasure_ids WHERE erasure_id = $1 ORDER BY piece
