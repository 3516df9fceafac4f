DROP INDEX IF EXISTS users_password_cost;
