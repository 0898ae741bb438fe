UPDATE logins SET is_admin = ($2 <> 0) WHERE id = $1
