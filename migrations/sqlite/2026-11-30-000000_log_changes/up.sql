-- The change log: a row for each change that a cached token must not outlive. `kind` says what `id` is of:
-- 'token', 'user' or 'family'; with 'purge', it is the time by which the tokens that were deleted had ended.
-- The sweeper writes that row. The others come from triggers, so that they are in the transaction of their
-- change, whichever program makes it. Numbers have no gaps: each is the highest one plus 1, and the row with
-- the highest is never deleted.
CREATE TABLE IF NOT EXISTS changes (
    seq  INTEGER PRIMARY KEY NOT NULL,
    kind TEXT    NOT NULL,
    id   BIGINT  NOT NULL
);

-- The log has 10,000 to 10,100 rows. A reader that finds a gap after the last row that it knows drops its
-- whole cache.
CREATE TRIGGER IF NOT EXISTS changes_bounded AFTER INSERT ON changes WHEN NEW.seq % 100 = 0 BEGIN
    DELETE FROM changes WHERE seq <= NEW.seq - 10000;
END;

-- last_used_at is not among the columns: the use of a token invalidates nothing.
CREATE TRIGGER IF NOT EXISTS tokens_changed
AFTER UPDATE OF user_id, name, digest, abilities, created_at, expires_at, revoked_at, kind, parent_id, ages_from
ON tokens BEGIN
    INSERT INTO changes (kind, id) VALUES ('token', OLD.id);
END;

-- bearerd itself deletes dead tokens only, which no cache holds.
CREATE TRIGGER IF NOT EXISTS tokens_deleted AFTER DELETE ON tokens
WHEN OLD.revoked_at IS NULL AND (OLD.expires_at IS NULL OR OLD.expires_at > unixepoch())
    AND EXISTS (SELECT 1 FROM users WHERE id = OLD.user_id) BEGIN
    INSERT INTO changes (kind, id) VALUES ('token', OLD.id);
END;

CREATE TRIGGER IF NOT EXISTS users_changed
AFTER UPDATE OF name, email, abilities, admin, disabled_at, updated_at ON users BEGIN
    INSERT INTO changes (kind, id) VALUES ('user', OLD.id);
END;

CREATE TRIGGER IF NOT EXISTS users_deleted AFTER DELETE ON users BEGIN
    INSERT INTO changes (kind, id) VALUES ('user', OLD.id);
END;

-- OR REPLACE deletes rows without the trigger above.
CREATE TRIGGER IF NOT EXISTS users_replaced BEFORE INSERT ON users BEGIN
    INSERT INTO changes (kind, id) SELECT 'user', id FROM users WHERE id = NEW.id;
    INSERT INTO changes (kind, id) SELECT 'user', id FROM users WHERE email = NEW.email;
END;
CREATE TRIGGER IF NOT EXISTS users_email_replaced BEFORE UPDATE OF email ON users BEGIN
    INSERT INTO changes (kind, id) SELECT 'user', id FROM users WHERE email = NEW.email AND id <> OLD.id;
END;
