INSERT INTO potik_migrations (version, name, program) VALUES ($1, $2, $3)
