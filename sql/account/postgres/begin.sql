-- Changes wait for one another until the commit, so that what one has looked at still holds. Reading goes on.
BEGIN;
SELECT pg_advisory_xact_lock(hashtext('potik accounts'), hashtext(current_schema()));
