-- The age of bound tokens. The sweeper removes them with their parent, and not later, by their own creation: a
-- row that stays without its parent would pass again if token_ttl is raised, or a clock that was ahead is set
-- back, and no revocation of the parent would reach it. Partial, so that it costs other tokens nothing.
CREATE INDEX IF NOT EXISTS tokens_ages_from ON tokens (ages_from) WHERE ages_from IS NOT NULL;
