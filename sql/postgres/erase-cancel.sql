-- Ends the VACUUM of another session of ours: $1, its pid.
SELECT pg_cancel_backend($1)
