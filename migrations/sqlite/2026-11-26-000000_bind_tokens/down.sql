DROP INDEX IF EXISTS tokens_unrevoked;
DROP INDEX IF EXISTS tokens_parent_id;
ALTER TABLE tokens DROP COLUMN ages_from;
ALTER TABLE tokens DROP COLUMN parent_id;
ALTER TABLE tokens DROP COLUMN kind;
