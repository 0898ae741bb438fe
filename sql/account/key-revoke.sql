-- By id, or by hash where the id is 0. A key that is revoked already keeps its first time.
UPDATE access_key
SET revoked_at_us = coalesce(revoked_at_us, :revoked_at_us)
WHERE (:id <> 0 AND id = :id) OR (:id = 0 AND hash = :hash);
