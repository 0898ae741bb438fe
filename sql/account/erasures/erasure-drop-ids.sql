DELETE FROM erasure_ids WHERE erasure_id = $1
