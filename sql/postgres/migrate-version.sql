SELECT coalesce(max(version), 0) FROM potik_migrations
