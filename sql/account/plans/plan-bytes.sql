-- $1 project_id: of all the others.
SELECT coalesce(sum(length(document)), 0) FROM tracking_plans WHERE project_id <> $1
