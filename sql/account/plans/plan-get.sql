SELECT revision, document, changed_at FROM tracking_plans WHERE project_id = $1
