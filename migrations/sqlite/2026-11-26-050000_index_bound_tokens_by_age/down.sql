DROP INDEX IF EXISTS tokens_ages_from;
