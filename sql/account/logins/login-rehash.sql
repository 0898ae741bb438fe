-- $1 id, $2 the hash that is replaced, $3 the new one.
UPDATE logins SET password = $3 WHERE id = $1 AND password = $2
