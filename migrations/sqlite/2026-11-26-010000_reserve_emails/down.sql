DROP TABLE IF EXISTS email_owners;
