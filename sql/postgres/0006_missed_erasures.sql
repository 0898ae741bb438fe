-- Which node's warehouse may hold events of a project that were erased while the node was away: the job ended without it, and
-- what it named is wiped. The newest such job. The row goes once the node has let go of what it had of the project.
CREATE TABLE erasures_missed (
    node       text    COLLATE "C" NOT NULL,
    project_id integer NOT NULL REFERENCES projects (id),
    erasure_id bigint  NOT NULL REFERENCES erasures (id),
    PRIMARY KEY (node, project_id)
);
-- Of jobs that ended before there was this table. A node that came later has nothing of them, which cannot be told here.
INSERT INTO erasures_missed (node, project_id, erasure_id)
SELECT p.node::text, e.project_id, max(e.id)
FROM erasures AS e, potik_nodes AS p
WHERE e.finished_at IS NOT NULL AND NOT e.is_dry_run
  AND NOT EXISTS (SELECT FROM erasure_nodes AS n WHERE n.erasure_id = e.id AND n.node = p.node::text)
GROUP BY p.node, e.project_id;
