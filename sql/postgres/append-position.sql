-- Last in the transaction of a batch: every transaction whose rows it stored or found stands below `major`. Our own id is
-- above the snapshot's where no later one has ended yet.
SELECT generation::bigint,
       greatest(pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
                coalesce(pg_current_xact_id_if_assigned()::text::bigint + 1, 0)) AS major
FROM potik_state
