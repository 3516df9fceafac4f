-- Rows that a sweep has half removed: by the digest they would be found again.
DELETE FROM tokens WHERE id NOT IN (SELECT token_id FROM token_heads);
CREATE TABLE IF NOT EXISTS digests (
    digest   BLOB   PRIMARY KEY NOT NULL,
    token_id BIGINT NOT NULL
) WITHOUT ROWID;
INSERT OR IGNORE INTO digests SELECT digest, id FROM tokens ORDER BY digest;
DROP TRIGGER IF EXISTS tokens_added;
CREATE TRIGGER IF NOT EXISTS tokens_added AFTER INSERT ON tokens BEGIN
    INSERT INTO digests VALUES (NEW.digest, NEW.id);
END;
DROP TABLE IF EXISTS token_heads;
