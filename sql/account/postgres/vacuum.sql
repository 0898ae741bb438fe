-- Frees the room of what jobs named. Where another VACUUM is at it, that will do; where the role does not own them, it is skipped.
VACUUM (SKIP_LOCKED, TRUNCATE false) erasures, erasure_ids
