-- Times are Unix seconds. Abilities are a space-separated scope (RFC 6749, 3.3).
-- AUTOINCREMENT: an id, once given, never means anybody else.

CREATE TABLE IF NOT EXISTS users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name          TEXT    NOT NULL,
    email         TEXT    NOT NULL COLLATE NOCASE,
    password_hash TEXT    NOT NULL,
    abilities     TEXT    NOT NULL,
    admin         BOOLEAN NOT NULL DEFAULT FALSE,
    disabled_at   BIGINT,
    created_at    BIGINT  NOT NULL,
    updated_at    BIGINT  NOT NULL
);

CREATE UNIQUE INDEX IF NOT EXISTS users_email ON users (email);

CREATE TABLE IF NOT EXISTS tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    user_id      BIGINT  NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         TEXT    NOT NULL,
    digest       BLOB    NOT NULL,
    abilities    TEXT    NOT NULL,
    created_at   BIGINT  NOT NULL,
    last_used_at BIGINT,
    expires_at   BIGINT,
    revoked_at   BIGINT
);

-- The check.
CREATE UNIQUE INDEX IF NOT EXISTS tokens_digest ON tokens (digest);
-- A user's tokens, newest first: an index entry ends with the row's id.
CREATE INDEX IF NOT EXISTS tokens_user_id ON tokens (user_id);
-- One for each of the sweeper's questions; the partial ones cost a live token nothing.
CREATE INDEX IF NOT EXISTS tokens_expires_at ON tokens (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS tokens_revoked_at ON tokens (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS tokens_created_at ON tokens (created_at);
