-- All of them, and the admins.
SELECT count(*), coalesce(sum(CASE WHEN is_admin THEN 1 ELSE 0 END), 0) FROM logins
