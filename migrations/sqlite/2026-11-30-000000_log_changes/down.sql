DROP TRIGGER IF EXISTS users_email_replaced;
DROP TRIGGER IF EXISTS users_replaced;
DROP TRIGGER IF EXISTS users_deleted;
DROP TRIGGER IF EXISTS users_changed;
DROP TRIGGER IF EXISTS tokens_deleted;
DROP TRIGGER IF EXISTS tokens_changed;
DROP TABLE IF EXISTS changes;
