-- Erasing events: how many pages of an erasure were ever deleted. A node that misses rows it has read knows by it that they
-- may have been erased (src/store/postgres/guard.c).
ALTER TABLE potik_state ADD COLUMN erasures bigint NOT NULL DEFAULT 0;
