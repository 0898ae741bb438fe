DELETE FROM logins WHERE id = $1
