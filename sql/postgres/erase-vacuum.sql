-- Cleans the pages of what was erased. Not the file's end cut off: that takes a lock which inserts would wait for.
VACUUM (TRUNCATE false) events
