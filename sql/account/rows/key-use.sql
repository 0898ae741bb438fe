-- $1 key, $2 when. An older time than the stored one changes nothing.
INSERT INTO key_uses (key_id, used_at)
SELECT id, $2 FROM keys WHERE id = $1
ON CONFLICT (key_id) DO UPDATE SET used_at = excluded.used_at WHERE key_uses.used_at < excluded.used_at
