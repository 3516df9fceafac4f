-- The costs of the bcrypt hashes, so that each login can find the highest without a scan: every attempt
-- that fails takes the rounds of that cost. Text that is not a bcrypt hash has no cost.
CREATE INDEX IF NOT EXISTS users_password_cost ON users (substr(password_hash, 5, 2))
    WHERE password_hash GLOB '$2[abxy]$[01][0-9]$*' AND length(password_hash) = 60;
