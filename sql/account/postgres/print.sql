-- One text that differs whenever a row does, whoever changed it.
SELECT concat_ws(' ',
    (SELECT count(*) FROM projects), (SELECT sum(hashtextextended(projects::text, 0)) FROM projects),
    (SELECT count(*) FROM keys), (SELECT sum(hashtextextended(keys::text, 0)) FROM keys));
