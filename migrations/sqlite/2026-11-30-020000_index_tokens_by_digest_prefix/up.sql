-- Tokens are found by the first eight bytes of their digests, which tell them apart: that any two of
-- 10,000,000 share theirs is as likely as 1 in 370,000, and then the later token is not issued. The rest is
-- compared with the row. The index is half the size of one on whole digests.
DROP TRIGGER IF EXISTS tokens_added;
DELETE FROM tokens WHERE NOT EXISTS
    (SELECT 1 FROM token_heads WHERE head = substr(digest, 1, 8) AND token_id = tokens.id);
-- Computed when it is read, and stored in the index alone.
ALTER TABLE tokens ADD COLUMN digest_prefix BLOB GENERATED ALWAYS AS (substr(digest, 1, 8)) VIRTUAL;
CREATE UNIQUE INDEX IF NOT EXISTS tokens_digest_prefix ON tokens (digest_prefix);
DROP TABLE IF EXISTS token_heads;

-- The index alone would let OR IGNORE and OR REPLACE pass over a digest that is taken, and OR REPLACE would
-- delete a row without a trigger. RAISE prevents both.
CREATE TRIGGER IF NOT EXISTS tokens_checked BEFORE INSERT ON tokens BEGIN
    SELECT RAISE(ABORT, 'a digest is a blob of 32 bytes')
        WHERE typeof(NEW.digest) <> 'blob' OR length(NEW.digest) <> 32;
    SELECT RAISE(ABORT, 'a token with this digest is there already')
        FROM tokens WHERE digest_prefix = substr(NEW.digest, 1, 8);
    SELECT RAISE(ABORT, 'a token with this id is there already') FROM tokens WHERE id = NEW.id;
END;
