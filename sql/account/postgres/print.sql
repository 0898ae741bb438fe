-- One text that differs whenever a row does that loops know of, whoever changed it.
SELECT concat_ws(' ',
    (SELECT count(*) FROM projects), (SELECT sum(hashtextextended(projects::text, 0)) FROM projects),
    (SELECT count(*) FROM keys), (SELECT sum(hashtextextended(keys::text, 0)) FROM keys),
    (SELECT count(*) FROM logins), (SELECT sum(hashtextextended(concat_ws(' ', id, email, is_admin), 0)) FROM logins),
    (SELECT count(*) FROM memberships), (SELECT sum(hashtextextended(memberships::text, 0)) FROM memberships),
    (SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL), (SELECT max(revoked_at) FROM sessions),
    (SELECT count(*) FROM tracking_plans), (SELECT sum(hashtextextended(concat_ws(' ', project_id, revision), 0)) FROM tracking_plans))
