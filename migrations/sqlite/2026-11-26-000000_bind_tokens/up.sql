-- kind: login, personal or operator. Rows that exist already become login tokens, whose wildcards cover
-- every ability, so that no token loses a right.
ALTER TABLE tokens ADD COLUMN kind TEXT NOT NULL DEFAULT 'login';
-- A bound token dies with its parent. No foreign key: a parent's row is purged when its children are dead,
-- and the check would slow each deletion down. Ids are never given twice.
ALTER TABLE tokens ADD COLUMN parent_id BIGINT;
-- From when a bound token's age counts: the creation of the first token of its line. It is NULL where that
-- is created_at.
ALTER TABLE tokens ADD COLUMN ages_from BIGINT;

-- The children of a token that is revoked. Partial, so that it costs other tokens nothing.
CREATE INDEX IF NOT EXISTS tokens_parent_id ON tokens (parent_id) WHERE parent_id IS NOT NULL;
-- A user's live tokens: those without a bound of their own, and those whose bound is to come, each from
-- the oldest on. Revoked ones, of which there may be many, are not in it.
CREATE INDEX IF NOT EXISTS tokens_unrevoked
    ON tokens (user_id, expires_at, ifnull(ages_from, created_at)) WHERE revoked_at IS NULL;
