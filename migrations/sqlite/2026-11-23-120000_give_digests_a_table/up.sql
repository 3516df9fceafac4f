-- What a token is found by, apart from its row. Digests lie at random places of an index. When many
-- rows go at once, their digests can go in the digests' own order, a page of them at a time, and the
-- rows in theirs; in one table each row's end would rewrite a page of the index for itself alone.

CREATE TABLE IF NOT EXISTS digests (
    digest   BLOB   PRIMARY KEY NOT NULL,
    token_id BIGINT NOT NULL
) WITHOUT ROWID;

INSERT OR IGNORE INTO digests SELECT digest, id FROM tokens ORDER BY digest;

-- Whoever adds a token's row need not know of this. Removing one takes the digest first, and then the
-- row: a row without its digest is found by nobody, and the next sweep goes on from there.
CREATE TRIGGER IF NOT EXISTS tokens_added AFTER INSERT ON tokens BEGIN
    INSERT INTO digests VALUES (NEW.digest, NEW.id);
END;

DROP INDEX IF EXISTS tokens_digest;
