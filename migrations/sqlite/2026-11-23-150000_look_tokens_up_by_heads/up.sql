-- A head is a digest's first eight bytes. Heads take half the pages of digests, and tell tokens apart as
-- well: that any two of 10,000,000 share theirs is as likely as 1 in 370,000, and then the later token is
-- not issued. What is compared, once a head has been found, is all of tokens.digest.

CREATE TABLE IF NOT EXISTS token_heads (
    head     BLOB   PRIMARY KEY NOT NULL,
    token_id BIGINT NOT NULL
) WITHOUT ROWID;

-- In the order of the old table, which needs no sorting.
INSERT OR IGNORE INTO token_heads
    SELECT substr(digest, 1, 8), token_id FROM digests WHERE length(digest) = 32 ORDER BY digest;

DROP TRIGGER IF EXISTS tokens_added;
DROP TABLE IF EXISTS digests;

-- Whoever adds a token need not know of this. Whoever removes one clears its head, and before the row: a
-- row without its head is found by nobody, and the next sweep goes on from there.
--
-- RAISE, because OR IGNORE and OR REPLACE of the statement outside would hold for the INSERT in here too.
CREATE TRIGGER IF NOT EXISTS tokens_added AFTER INSERT ON tokens BEGIN
    SELECT RAISE(ABORT, 'a digest is a blob of 32 bytes')
        WHERE typeof(NEW.digest) <> 'blob' OR length(NEW.digest) <> 32;
    SELECT RAISE(ABORT, 'a token with this digest is there already')
        FROM token_heads WHERE head = substr(NEW.digest, 1, 8);
    INSERT INTO token_heads VALUES (substr(NEW.digest, 1, 8), NEW.id);
END;
