SELECT count(*) FROM memberships
