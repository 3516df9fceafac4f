-- Where a token is looked up, and what keeps digests unique. Digests are random, so that by an index on
-- tokens.digest each row that is removed rewrites a page for itself. Here the digests of many rows can
-- go first, in their own order, several to a page; tokens.digest tells which.
--
-- A head is a digest's first eight bytes: they take half the pages, and tell tokens apart (that any two
-- of 10,000,000 share one is as likely as 1 in 370,000, and then the later one is not issued). What is
-- compared with a token's digest is all of tokens.digest.

CREATE TABLE IF NOT EXISTS digests (
    head     BLOB   PRIMARY KEY NOT NULL,
    token_id BIGINT NOT NULL
) WITHOUT ROWID;

INSERT OR IGNORE INTO digests SELECT substr(digest, 1, 8), id FROM tokens ORDER BY 1;

-- Whoever adds a token need not know of this. Whoever removes one clears its digest, and before the row:
-- a row without its digest is found by nobody, and the next sweep goes on from there.
CREATE TRIGGER IF NOT EXISTS tokens_added AFTER INSERT ON tokens BEGIN
    INSERT INTO digests VALUES (substr(NEW.digest, 1, 8), NEW.id);
END;

DROP INDEX IF EXISTS tokens_digest;
