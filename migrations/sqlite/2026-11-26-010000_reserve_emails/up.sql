-- Who has an email, or had it last: an address that a user has given up stays reserved for that user,
-- also after the account is deleted, until an administrator lets somebody else have it.
--
-- `email` is the address's key, which is the same for all its spellings. Of rows that another program
-- writes to `users` there is no key here; `users_email` still keeps those unique, but for ASCII case.

CREATE TABLE IF NOT EXISTS email_owners (
    email   TEXT   PRIMARY KEY NOT NULL,
    user_id BIGINT NOT NULL
) WITHOUT ROWID;

-- To count the addresses of one user.
CREATE INDEX IF NOT EXISTS email_owners_user_id ON email_owners (user_id);

-- email_key() is defined by the program. Where two accounts have one address in different spellings,
-- both keep it, and the older one is found by any other spelling.
INSERT OR IGNORE INTO email_owners SELECT email_key(email), id FROM users ORDER BY id;
