import type { PostgresServer } from "../support/postgres.ts"
import type { Bed } from "./bed.ts"

/** A database that is backed up, and what the program must know to do that and to restore it. */
export type Source = {
  readonly server: PostgresServer
  readonly database: string
  /** A new one, which the program has its temporary files in. */
  readonly folder: string
  readonly env: Readonly<Record<string, string>>
}

/** Makes a small database; on the bed's own server, where none is given. */
export async function makeSource(bed: Bed, name: string, given?: PostgresServer): Promise<Source> {
  const server = given ?? (await bed.server())
  const database = await server.createDatabase(name)
  await server.psql(smallDatabase, database)
  const folder = await bed.newFolder(name)
  const env = {
    DATABASE_URL: server.url(database),
    PGSTOW_PG_BIN: server.binDir,
    PGSTOW_RECIPIENTS: bed.recipient,
    PGSTOW_IDENTITY: bed.identity,
    PGSTOW_JOBS: "2",
    TMPDIR: folder,
  }
  return { server, database, folder, env }
}

/**
 * SQL that fills a database which takes a second to back up, and shows most ways of doing it: two tables that leave
 * pg_dump's stream, with rows of a page each; small ones with keys between them; a large object, a view, a function.
 */
export const smallDatabase = `
  CREATE TABLE first (n int PRIMARY KEY, text text, more text DEFAULT 'more');
  ALTER TABLE first ALTER text SET STORAGE PLAIN;
  INSERT INTO first SELECT n, rpad(n::text, 7000, 'x') FROM generate_series(1, 2600) AS n;
  CREATE TABLE second (n int, text text);
  ALTER TABLE second ALTER text SET STORAGE PLAIN;
  INSERT INTO second SELECT n, rpad(n::text, 7000, 'y') FROM generate_series(1, 2400) AS n;
  CREATE INDEX ON second (n);
  CREATE TABLE alike (n int PRIMARY KEY, text text, more text DEFAULT 'more');
  INSERT INTO alike VALUES (1, 'alike', 'less');
  CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, noise bytea);
  INSERT INTO customers SELECT n, 'customer ' || n, sha256(n::text::bytea) FROM generate_series(1, 3000) AS n;
  CREATE TABLE orders (id serial PRIMARY KEY, customer int REFERENCES customers, total numeric(12, 2));
  INSERT INTO orders (customer, total) SELECT 1 + n % 3000, n / 7.0 FROM generate_series(1, 5000) AS n;
  CREATE VIEW totals AS SELECT customer, sum(total) FROM orders GROUP BY customer;
  CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE RETURN 2 * n;
  COMMENT ON TABLE orders IS 'what was ordered; "quoted"';
  SELECT lo_from_bytea(4711, sha256('large'));
`
