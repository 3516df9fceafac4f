-- Without the watermark, each token must say for itself that it is revoked.
DROP TRIGGER IF EXISTS tokens_changed;
DROP TRIGGER IF EXISTS tokens_counted_revoked;
UPDATE tokens SET revoked_at =
    (SELECT ifnull(all_revoked_at, updated_at) FROM users WHERE users.id = user_id)
    WHERE revoked_at IS NULL AND EXISTS (
        SELECT 1 FROM users
        WHERE users.id = user_id AND tokens.id <= revoked_through AND tokens.id IS NOT kept_token
    );
DELETE FROM tokens WHERE user_id NOT IN (SELECT id FROM users);
DROP TRIGGER IF EXISTS users_orphans_revoked;
DROP TRIGGER IF EXISTS users_tokens_orphaned;
DROP TRIGGER IF EXISTS users_tokens_revoked;
DROP TRIGGER IF EXISTS tokens_counted_deleted;
DROP TRIGGER IF EXISTS tokens_counted;
DROP TRIGGER IF EXISTS tokens_deleted;
DROP TABLE IF EXISTS bulk_revocations;
DROP TABLE IF EXISTS token_counts;
DROP VIEW IF EXISTS unrevoked_tokens;
DROP INDEX IF EXISTS tokens_unrevoked_id;
CREATE INDEX IF NOT EXISTS tokens_unrevoked
    ON tokens (user_id, expires_at, ifnull(ages_from, created_at)) WHERE revoked_at IS NULL;
ALTER TABLE users DROP COLUMN all_revoked_at;
ALTER TABLE users DROP COLUMN kept_token;
ALTER TABLE users DROP COLUMN revoked_through;

-- As log_changes made them.
CREATE TRIGGER tokens_changed
AFTER UPDATE OF user_id, name, digest, abilities, created_at, expires_at, revoked_at, kind, parent_id, ages_from
ON tokens BEGIN
    INSERT INTO changes (kind, id) VALUES ('token', OLD.id);
END;
CREATE TRIGGER tokens_deleted AFTER DELETE ON tokens
WHEN OLD.revoked_at IS NULL AND (OLD.expires_at IS NULL OR OLD.expires_at > unixepoch())
    AND EXISTS (SELECT 1 FROM users WHERE id = OLD.user_id) BEGIN
    INSERT INTO changes (kind, id) VALUES ('token', OLD.id);
END;
