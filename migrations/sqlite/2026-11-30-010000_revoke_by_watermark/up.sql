-- All of a user's tokens are revoked by one row: those with ids up to `revoked_through`, since
-- `all_revoked_at`, but not `kept_token`. Ids tell what was issued before; times collide within a second.
ALTER TABLE users ADD COLUMN revoked_through BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN kept_token BIGINT;
ALTER TABLE users ADD COLUMN all_revoked_at BIGINT;

-- Unrevoked tokens, expired ones included. Each arm finds its rows by an index.
CREATE VIEW IF NOT EXISTS unrevoked_tokens AS
    SELECT tokens.* FROM users JOIN tokens
        ON tokens.user_id = users.id AND tokens.id > users.revoked_through
        WHERE tokens.revoked_at IS NULL
    UNION ALL
    SELECT tokens.* FROM users JOIN tokens
        ON tokens.id = users.kept_token AND tokens.user_id = users.id
        WHERE tokens.revoked_at IS NULL;

-- A user's unrevoked tokens by id, so that those up to the watermark are skipped, with what decides
-- whether they have expired.
DROP INDEX IF EXISTS tokens_unrevoked;
CREATE INDEX IF NOT EXISTS tokens_unrevoked_id
    ON tokens (user_id, id, expires_at, ifnull(ages_from, created_at)) WHERE revoked_at IS NULL;

-- How many unrevoked tokens each user has, expired ones included, so that nobody needs to count them.
CREATE TABLE IF NOT EXISTS token_counts (
    user_id   INTEGER PRIMARY KEY NOT NULL,
    unrevoked BIGINT  NOT NULL
);
INSERT OR REPLACE INTO token_counts
    SELECT user_id, count(*) FROM tokens WHERE revoked_at IS NULL GROUP BY user_id;

CREATE TRIGGER IF NOT EXISTS tokens_counted AFTER INSERT ON tokens WHEN NEW.revoked_at IS NULL BEGIN
    INSERT INTO token_counts VALUES (NEW.user_id, 1)
        ON CONFLICT (user_id) DO UPDATE SET unrevoked = unrevoked + 1;
END;

CREATE TRIGGER IF NOT EXISTS tokens_counted_revoked AFTER UPDATE OF revoked_at ON tokens
WHEN (OLD.revoked_at IS NULL) <> (NEW.revoked_at IS NULL) BEGIN
    UPDATE token_counts SET unrevoked = unrevoked + iif(NEW.revoked_at IS NULL, 1, -1)
        WHERE user_id = NEW.user_id
            AND (SELECT NEW.id > revoked_through OR NEW.id IS kept_token FROM users WHERE id = NEW.user_id);
END;

CREATE TRIGGER IF NOT EXISTS tokens_counted_deleted AFTER DELETE ON tokens WHEN OLD.revoked_at IS NULL BEGIN
    UPDATE token_counts SET unrevoked = unrevoked - 1
        WHERE user_id = OLD.user_id
            AND (SELECT OLD.id > revoked_through OR OLD.id IS kept_token FROM users WHERE id = OLD.user_id);
END;

-- Rows that the sweeper deletes once they have been dead for long enough: of this user, up to this id,
-- but not the token that was kept.
CREATE TABLE IF NOT EXISTS bulk_revocations (
    id         INTEGER PRIMARY KEY NOT NULL,
    user_id    BIGINT  NOT NULL,
    through    BIGINT  NOT NULL,
    kept       BIGINT,
    revoked_at BIGINT  NOT NULL
);
CREATE INDEX IF NOT EXISTS bulk_revocations_revoked_at ON bulk_revocations (revoked_at);

-- Where there was nothing to revoke there is nothing to delete, so that a client that repeats itself
-- adds no rows.
CREATE TRIGGER IF NOT EXISTS users_tokens_revoked AFTER UPDATE OF revoked_through, kept_token ON users BEGIN
    INSERT INTO changes (kind, id) VALUES ('user', NEW.id);
    INSERT INTO bulk_revocations (user_id, through, kept, revoked_at)
        SELECT NEW.id, NEW.revoked_through, NEW.kept_token, ifnull(NEW.all_revoked_at, unixepoch())
        FROM token_counts WHERE user_id = NEW.id AND unrevoked > (NEW.kept_token IS NOT NULL);
    UPDATE token_counts SET unrevoked = (SELECT count(*) FROM unrevoked_tokens WHERE user_id = NEW.id)
        WHERE user_id = NEW.id;
END;

-- The tokens of a user who is deleted have no owner any more, so that nothing finds them, and go with the
-- next sweep. This must not wait for a row each: foreign keys, which would delete them at once, are off.
CREATE TRIGGER IF NOT EXISTS users_tokens_orphaned AFTER DELETE ON users BEGIN
    INSERT INTO bulk_revocations (user_id, through, kept, revoked_at)
        SELECT OLD.id, (SELECT max(id) FROM tokens WHERE user_id = OLD.id), NULL, -9223372036854775807
        WHERE EXISTS (SELECT 1 FROM tokens WHERE user_id = OLD.id);
    DELETE FROM token_counts WHERE user_id = OLD.id;
END;

-- bearerd never gives an id to another user. Where another program does, the tokens of the deleted user must
-- not pass as the new one's.
CREATE TRIGGER IF NOT EXISTS users_orphans_revoked AFTER INSERT ON users
WHEN EXISTS (SELECT 1 FROM tokens WHERE user_id = NEW.id) BEGIN
    UPDATE users SET all_revoked_at = unixepoch(), kept_token = NULL,
        revoked_through = (SELECT max(id) FROM tokens WHERE user_id = NEW.id)
        WHERE id = NEW.id;
END;

-- This one takes the place of that of log_changes: tokens below the watermark are dead.
DROP TRIGGER IF EXISTS tokens_deleted;
CREATE TRIGGER tokens_deleted AFTER DELETE ON tokens
WHEN OLD.revoked_at IS NULL AND (OLD.expires_at IS NULL OR OLD.expires_at > unixepoch())
    AND (SELECT OLD.id > revoked_through OR OLD.id IS kept_token FROM users WHERE id = OLD.user_id) BEGIN
    INSERT INTO changes (kind, id) VALUES ('token', OLD.id);
END;
