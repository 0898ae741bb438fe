-- The reader's statements are few and known: always the index in the order of reading, planned once.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET plan_cache_mode = force_generic_plan;
LISTEN potik_events;
SELECT set_config('application_name', 'potik loader', false) WHERE current_setting('application_name') = 'potik';
