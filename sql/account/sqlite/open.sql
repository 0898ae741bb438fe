-- Set on every link: a commit is durable when it returns, readers never wait for a writer, what is deleted is overwritten.
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA trusted_schema = OFF;
PRAGMA secure_delete = ON;
