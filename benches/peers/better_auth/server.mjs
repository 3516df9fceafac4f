// A server of better-auth alone. Arguments: where to listen, and the database.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import { toNodeHandler } from 'better-auth/node';
import { bearer } from 'better-auth/plugins';
import Database from 'better-sqlite3';

const [address, file] = process.argv.slice(2);
const [host, port] = address.split(':');
const database = new Database(file);
database.pragma('journal_mode = WAL');

const options = {
  baseURL: `http://${address}`,
  secret: randomBytes(32).toString('hex'),
  database,
  emailAndPassword: { enabled: true },
  // All requests of a benchmark come from one address.
  rateLimit: { enabled: false },
  plugins: [bearer()],
};
await (await getMigrations(options)).runMigrations();
createServer(toNodeHandler(betterAuth(options))).listen(Number(port), host);
