-- A project's erased ids may be stored again: the next $3 behind $2. The last of them, or no row: there are no more.
WITH free AS MATERIALIZED (
    SELECT id_hash FROM erased WHERE project_id = $1 AND id_hash > $2 ORDER BY id_hash LIMIT $3::bigint
), gone AS (
    DELETE FROM erased AS e USING free AS f WHERE e.project_id = $1 AND e.id_hash = f.id_hash
)
SELECT id_hash FROM free ORDER BY id_hash DESC LIMIT 1
