UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1
