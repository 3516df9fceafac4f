-- Where a token is looked up, and what keeps digests unique. Digests are random, so that by an index on
-- tokens.digest each row that is removed rewrites a page for itself. Here the digests of many rows can
-- go first, in their own order, several to a page; tokens.digest tells which.

CREATE TABLE IF NOT EXISTS digests (
    digest   BLOB   PRIMARY KEY NOT NULL,
    token_id BIGINT NOT NULL
) WITHOUT ROWID;

INSERT OR IGNORE INTO digests SELECT digest, id FROM tokens ORDER BY digest;

-- Whoever adds a token need not know of this. Whoever removes one clears its digest, and before the row:
-- a row without its digest is found by nobody, and the next sweep goes on from there.
CREATE TRIGGER IF NOT EXISTS tokens_added AFTER INSERT ON tokens BEGIN
    INSERT INTO digests VALUES (NEW.digest, NEW.id);
END;

DROP INDEX IF EXISTS tokens_digest;
