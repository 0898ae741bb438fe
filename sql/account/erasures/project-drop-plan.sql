DELETE FROM tracking_plans WHERE project_id = $1
