UPDATE project
SET time_zone = :time_zone
WHERE id = :id;
