-- But for that of login $1 in project $2: to change it makes none more.
SELECT count(*) FROM memberships WHERE NOT (login_id = $1 AND project_id = $2)
