import { beforeAll, describe, expect, test } from "vitest"
import { compareDatabases } from "./compare-databases.ts"
import type { PostgresServer } from "./postgres.ts"
import { fillSampleDatabase } from "./sample-database.ts"
import { majors, sharedPostgres } from "./shared-postgres.ts"

/** A change, and the differences that must come of it. */
const changes: readonly (readonly [sql: string, ...differences: readonly RegExp[]])[] = [
  [
    "SET session_replication_role = replica; UPDATE shop.orders SET total = total + 1 WHERE id = 10",
    /^table shop.orders: (\d+) rows, .* \| \1 rows, /,
  ],
  [
    "UPDATE shop.baskets SET session = '' WHERE session IS NULL",
    /^table shop.baskets: 2 rows, .* \| 2 rows, /,
  ],
  ["DELETE FROM ONLY analytics.measurements WHERE id = 1", /^table analytics.measurements: 50 .* \| 49 /],
  ["INSERT INTO shop.room_bookings DEFAULT VALUES", /^table shop.room_bookings: 3 rows, .* \| 4 rows/],
  [
    'UPDATE "Odd.Schema & Späße".orders SET id = 2 WHERE id = 1',
    /^table "Odd.Schema & Späße".orders: 3 rows/,
  ],
  [
    "CREATE TABLE extra ()",
    /^table public.extra: missing in the first \| 0 rows/,
    /second: CREATE TABLE public.extra/,
    /second: ALTER TABLE public.extra OWNER/,
  ],
  [
    "DROP TABLE shop.no_columns",
    /^table shop.no_columns: 3 rows, checksum \S+ \| missing in the second/,
    /first: CREATE TABLE shop.no_columns/,
    /first: ALTER TABLE shop.no_columns OWNER/,
    /first: GRANT SELECT ON TABLE shop.no_columns /,
  ],
  [
    "SELECT nextval('shop.customers_id_seq')",
    /^sequence shop.customers_id_seq: last value (\d+), called t \| last value (?!\1\b)\d+, called t/,
  ],
  [
    "SELECT setval('shop.invoice_numbers', last_value, false) FROM shop.invoice_numbers",
    /^sequence shop.invoice_numbers: last value (\d+), called t \| last value \1, called f/,
  ],
  [
    "REFRESH MATERIALIZED VIEW analytics.never_filled",
    /^materialized view analytics.never_filled: not populated \| \d+ rows/,
  ],
  [
    "REFRESH MATERIALIZED VIEW analytics.best_days WITH NO DATA",
    /^materialized view analytics.best_days: \d+ rows, .* \| not populated/,
  ],
  ["SELECT lo_put(min(oid), 1, '\\x00') FROM pg_largeobject_metadata", /^large object \d+: .* \| sha256/],
  [
    "SELECT format('ALTER LARGE OBJECT %s OWNER TO sample_reader', max(oid)) FROM pg_largeobject_metadata \\gexec",
    /^large object \d+: .*owner postgres.* \| .*owner sample_reader/,
  ],
  [
    "SELECT format('ALTER DATABASE %I RESET timezone', current_database()) \\gexec",
    /^database: .*settings TimeZone/,
  ],
  ["DROP INDEX shop.orders_placed_at_idx", /^schema: only in the first: CREATE INDEX orders_placed_at_idx /],
  ["COMMENT ON TABLE shop.orders IS NULL", /^schema: only in the first: COMMENT ON TABLE shop.orders IS/],
  ['REVOKE INSERT ON shop.orders FROM "Sample ""Writer"""', /^schema: only in the first: GRANT INSERT /],
]

describe.for(majors)("on PostgreSQL %i", (major) => {
  let server: PostgresServer
  let sample: string

  beforeAll(async () => {
    server = await sharedPostgres(major)
    sample = await server.createDatabase()
    await fillSampleDatabase(server, sample, { megabytes: 2 })
  })

  async function copy(): Promise<string> {
    const name = await server.createDatabase()
    await server.psql(`DROP DATABASE ${name}; CREATE DATABASE ${name} TEMPLATE ${sample};
      ALTER DATABASE ${name} SET timezone = 'Europe/Vienna';
      ALTER ROLE sample_reader IN DATABASE ${name} SET search_path = shop, "Odd.Schema & Späße";
      REVOKE TEMPORARY ON DATABASE ${name} FROM PUBLIC;
      GRANT CREATE ON DATABASE ${name} TO "Sample ""Writer""";
      COMMENT ON DATABASE ${name} IS 'one like real ones; "really"'`)
    return name
  }

  test("a copy of a database is equal to it", async () => {
    expect(await compareDatabases({ server, name: sample }, { server, name: await copy() })).toEqual([])
  })

  test("every change of a copy is a difference, and nothing else is", async () => {
    const changed = await copy()
    for (const [sql] of changes) await server.psql(sql, changed)
    const differences = await compareDatabases({ server, name: sample }, { server, name: changed })
    for (const [sql, ...expected] of changes)
      for (const difference of expected) {
        const at = differences.findIndex((line) => difference.test(line))
        expect(at, `no difference ${difference} after ${sql}`).not.toBe(-1)
        differences.splice(at, 1)
      }
    expect(differences).toEqual([])
  })
})
