DROP TRIGGER IF EXISTS tokens_checked;
CREATE TABLE IF NOT EXISTS token_heads (
    head     BLOB   PRIMARY KEY NOT NULL,
    token_id BIGINT NOT NULL
) WITHOUT ROWID;
INSERT OR IGNORE INTO token_heads SELECT substr(digest, 1, 8), id FROM tokens ORDER BY digest;
DROP INDEX IF EXISTS tokens_digest_prefix;
ALTER TABLE tokens DROP COLUMN digest_prefix;
CREATE TRIGGER IF NOT EXISTS tokens_added AFTER INSERT ON tokens BEGIN
    SELECT RAISE(ABORT, 'a digest is a blob of 32 bytes')
        WHERE typeof(NEW.digest) <> 'blob' OR length(NEW.digest) <> 32;
    SELECT RAISE(ABORT, 'a token with this digest is there already')
        FROM token_heads WHERE head = substr(NEW.digest, 1, 8);
    INSERT INTO token_heads VALUES (substr(NEW.digest, 1, 8), NEW.id);
END;
