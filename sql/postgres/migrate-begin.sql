-- One at a time: the lock is held to the end of the transaction, and waited for 30 s.
BEGIN;
SET LOCAL lock_timeout = '30s';
SET LOCAL statement_timeout = 0;
SELECT pg_advisory_xact_lock(hashtext('potik migrate'), hashtext(current_schema()));
