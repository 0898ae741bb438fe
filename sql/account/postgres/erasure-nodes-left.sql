-- $1 job. Nodes that were seen lately and have not done their part.
SELECT count(*)
FROM potik_nodes AS p
WHERE p.seen_at > now() - interval '10 minutes'
  AND NOT EXISTS (SELECT FROM erasure_nodes AS n WHERE n.erasure_id = $1 AND n.node = p.node::text)
