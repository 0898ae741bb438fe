-- $1 email, $2 password, $3 is_admin, $4 created_at. No row where the email is taken.
INSERT INTO logins (email, password, is_admin, created_at)
VALUES ($1, $2, $3 <> 0, $4)
ON CONFLICT (email) DO NOTHING
RETURNING id
