-- The oldest job that waits for nobody any more: nodes have done their part, and those that have not were not seen lately.
SELECT id
FROM erasures AS e
WHERE finished_at IS NULL
  AND EXISTS (SELECT FROM erasure_nodes AS n WHERE n.erasure_id = e.id)
  AND NOT EXISTS (SELECT FROM potik_nodes AS p
                  WHERE p.seen_at > now() - interval '10 minutes'
                    AND NOT EXISTS (SELECT FROM erasure_nodes AS n WHERE n.erasure_id = e.id AND n.node = p.node::text))
ORDER BY id
LIMIT 1
