-- Rows that a sweep has half removed: by the index they would be found again.
DELETE FROM tokens WHERE digest NOT IN (SELECT digest FROM digests);
CREATE UNIQUE INDEX IF NOT EXISTS tokens_digest ON tokens (digest);
DROP TRIGGER IF EXISTS tokens_added;
DROP TABLE IF EXISTS digests;
