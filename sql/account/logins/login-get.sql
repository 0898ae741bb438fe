SELECT l.id, l.email, l.password, l.is_admin, l.created_at, u.used_at
FROM logins AS l LEFT JOIN login_uses AS u ON u.login_id = l.id
WHERE l.id = $1
