-- An erasure's statements are few and known: always by the index, and so in its order; the locks of a DELETE, too.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SELECT set_config('application_name', 'potik erasure', false) WHERE current_setting('application_name') = 'potik';
