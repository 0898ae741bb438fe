-- The row type's number, which stands in the binary form of an array of it, and the secret of the ids' hashes. Plans are made
-- once: a plan for each array would cost more than it gains, and the general one looks erased ids up by their index.
SELECT to_regtype('potik_incoming')::oid::bigint, hash_secret,
       set_config('plan_cache_mode', 'force_generic_plan', false)
FROM potik_state
