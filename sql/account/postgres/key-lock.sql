-- Who adds keys waits for whoever does so now: the count below must hold until the commit. Reading goes on.
LOCK TABLE keys IN SHARE ROW EXCLUSIVE MODE;
