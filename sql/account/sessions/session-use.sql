-- When the login was last used. $1 login, $2 now.
INSERT INTO login_uses (login_id, used_at) VALUES ($1, $2)
ON CONFLICT (login_id) DO UPDATE SET used_at = excluded.used_at
