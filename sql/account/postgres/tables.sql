SELECT to_regclass('projects') IS NOT NULL AND to_regclass('keys') IS NOT NULL AND to_regclass('erasures_missed') IS NOT NULL AND to_regclass('tracking_plans') IS NOT NULL
