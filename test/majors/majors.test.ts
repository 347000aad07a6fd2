import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import * as z from "zod"
import { compareDatabases } from "../support/compare-databases.ts"
import { failureOfRun, logOf } from "../support/failure-line.ts"
import { notRun } from "../support/not-run.ts"
import { type Finished, runPgstow } from "../support/pgstow.ts"
import { findPostgres, type PostgresServer } from "../support/postgres.ts"
import { fillSampleDatabase, makeSampleRoles } from "../support/sample-database.ts"
import { needsIcu, sharedPostgres } from "../support/shared-postgres.ts"

const supported = [13, 14, 15, 16, 17, 18]
const installed = new Set(findPostgres().map(({ major }) => major))
const needs = (...majors: readonly number[]) => {
  const missing = majors.filter((major) => !installed.has(major))
  return notRun(missing.length === 0, `PostgreSQL ${missing.join(" and ")} is not installed`)
}

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pgstow-majors-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Runs the program with the client programs of every major version. */
function pgstow(server: PostgresServer, ...args: readonly string[]): Promise<Finished> {
  return runPgstow(args, {
    DATABASE_URL: server.url("postgres"),
    PGSTOW_PG_BIN: findPostgres()
      .map(({ binDir }) => binDir)
      .join(":"),
    PGSTOW_STORAGE: `file://${folder}/backups`,
    PGSTOW_UNENCRYPTED: "true",
    TMPDIR: folder,
  })
}

async function succeed(run: Promise<Finished>): Promise<Finished> {
  const finished = await run
  expect(finished.exitCode, finished.stderr).toBe(0)
  return finished
}

type Original = { readonly server: PostgresServer; readonly name: string }

/** A database of a name that no other has, filled and backed up by two streams. */
async function backUp(
  major: number,
  fill: (server: PostgresServer, database: string) => Promise<unknown>,
  create = "",
): Promise<Original> {
  const server = await sharedPostgres(major)
  const name = await server.createDatabase()
  if (create !== "") {
    await server.psql(`DROP DATABASE ${name}`)
    await server.psql(`CREATE DATABASE ${name} TEMPLATE template0 ${create}`)
  }
  await fill(server, name)
  await succeed(pgstow(server, "backup", "--dbname", name, "--jobs", "2"))
  return { server, name }
}

/** Each original is made once, for whoever asks first. */
function once(make: (major: number) => Promise<Original>): (major: number) => Promise<Original> {
  const made = new Map<number, Promise<Original>>()
  return (major) => {
    const original = made.get(major) ?? make(major)
    made.set(major, original)
    return original
  }
}

let restored = 0
async function restore(original: Original, to: number, ...more: readonly string[]) {
  const server = await sharedPostgres(to)
  await makeSampleRoles(server)
  const name = `${original.name}_${++restored}`
  const finished = await pgstow(
    server,
    "restore",
    "--database",
    original.name,
    "--into",
    name,
    "--jobs",
    "2",
    ...more,
  )
  return { ...finished, copy: { server, name } }
}

/** What is no fault of a restore into another major version: what changed with which, between both. */
const expected: readonly { readonly with: number; readonly line: RegExp }[] = [
  // A range type has a multirange type.
  { with: 14, line: /^schema: only in the (first|second): +(subtype|multirange_type_name) = / },
  // The schema public of a new database: another owner, and nobody else may create in it.
  {
    with: 15,
    line: /^schema: only in the (first|second): ((GRANT|REVOKE) \w+ ON SCHEMA public|ALTER SCHEMA public OWNER|-- \*not\* creating schema)/,
  },
  // The queries of views are written in other words.
  {
    with: 16,
    line: /^schema: (only in the (first|second): (?!CREATE|ALTER|GRANT|REVOKE|COMMENT)|\d+ more lines)/,
  },
]

async function differences(original: Original, copy: Original): Promise<string[]> {
  const majors = [original.server.major, copy.server.major]
  const passedOver = expected.filter(
    (one) => Math.min(...majors) < one.with && one.with <= Math.max(...majors),
  )
  const all = await compareDatabases(original, copy)
  return all.filter((line) => !passedOver.some((one) => one.line.test(line)))
}

const bigTable = `
  CREATE TABLE big (n int PRIMARY KEY, text text);
  ALTER TABLE big ALTER text SET STORAGE PLAIN;
  INSERT INTO big SELECT n, rpad(n::text, 7000, 'x') FROM generate_series(1, 6000) AS n;
  DELETE FROM big WHERE n % 10 = 0`

const sample = once((major) =>
  backUp(major, async (server, database) => {
    await fillSampleDatabase(server, database, { megabytes: 2 })
    await server.psql(bigTable, database)
  }),
)

const manifestSchema = z.object({
  manifest: z.object({ objects: z.array(z.object({ kind: z.string(), table: z.string().optional() })) }),
})

describe.for(supported)("a backup of PostgreSQL %i by two streams", (from) => {
  const missing = needs(from)

  test.skipIf(missing)(`has its big table in segments${missing}`, async () => {
    const { server, name } = await sample(from)
    const { stdout } = await succeed(pgstow(server, "show", "--database", name, "--json"))
    const segments = manifestSchema
      .parse(JSON.parse(stdout))
      .manifest.objects.filter(({ table }) => table === "big")
    // Older servers can't look for a range of pages by itself.
    if (from >= 14) expect(segments.length).toBeGreaterThan(1)
    else expect(segments).toHaveLength(1)
  })

  for (const to of supported.filter((major) => major >= from)) {
    const reason = needs(from, ...(to === from ? [] : [to]))
    test.skipIf(reason)(`comes back as it was on PostgreSQL ${to}${reason}`, async () => {
      const original = await sample(from)
      const finished = await restore(original, to)
      expect(finished.exitCode, finished.stderr).toBe(0)
      expect(logOf(finished.stderr).filter(({ level }) => level !== "info")).toEqual([])
      expect(await differences(original, finished.copy)).toEqual([])
    })
  }

  const older = supported[supported.indexOf(from) - 1]
  if (older === undefined) return
  const reason = needs(older, from)
  test.skipIf(reason)(
    `comes back on PostgreSQL ${older}, one step down, with a warning${reason}`,
    async () => {
      const original = await plain(from)
      const finished = await restore(original, older)
      expect(finished.exitCode, finished.stderr).toBe(0)
      const warnings = logOf(finished.stderr).filter(({ level }) => level === "warn")
      expect(warnings[0]?.message).toMatch(
        new RegExp(`^the backup is of PostgreSQL ${from}[.\\d]*, and the server is the older ${older}`),
      )
      expect(await differences(original, finished.copy)).toEqual([])
    },
  )
})

/** Nothing that has changed between major versions. */
const plain = once((major) =>
  backUp(major, (server, database) =>
    server.psql(
      `CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
       CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY, customer int REFERENCES customers, note text);
       CREATE INDEX ON orders (customer);
       INSERT INTO customers SELECT n, 'customer ' || n FROM generate_series(1, 1000) AS n;
       INSERT INTO orders (customer, note) SELECT n, 'order ' || n FROM generate_series(1, 1000) AS n;
       ${bigTable}`,
      database,
    ),
  ),
)

type Provider = { readonly since: number; readonly create: string }
const providers: Record<string, Provider> = {
  libc: { since: 13, create: "LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'" },
  ICU: { since: 15, create: "LOCALE_PROVIDER icu ICU_LOCALE 'de-AT' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'" },
  "ICU with rules": {
    since: 16,
    create: "LOCALE_PROVIDER icu ICU_LOCALE 'de-AT' ICU_RULES '&a < b' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'",
  },
  builtin: { since: 17, create: "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'" },
}

describe.for(Object.entries(providers))("a database with a locale of %s", ([provider, { since, create }]) => {
  describe.for(supported.filter((major) => major >= since))("of PostgreSQL %i", async (from) => {
    const isIcu = provider.startsWith("ICU")
    const reason = needs(from) || (isIcu ? await needsIcu(await sharedPostgres(from)) : "")
    const words = once((major) =>
      backUp(
        major,
        (server, database) =>
          server.psql("CREATE TABLE words AS SELECT unnest('{ä,a,b,Z,z}'::text[]) AS word", database),
        create,
      ),
    )

    for (const to of supported.filter((major) => major >= from)) {
      const why = reason || needs(to)
      test.skipIf(why)(
        `comes back on PostgreSQL ${to} with it, or is refused where that is built without${why}`,
        async () => {
          const original = await words(from)
          const finished = await restore(original, to)
          if (isIcu && (await needsIcu(finished.copy.server)) !== "") {
            const failure = failureOfRun(finished)
            expect(failure.message).toMatch(/built without ICU, which the locale de-AT is of/)
            expect(failure.hint).toContain("--locale default")
            const taken = await restore(original, to, "--locale", "default")
            expect(taken.exitCode, taken.stderr).toBe(0)
            expect(await taken.copy.server.psql("SELECT count(*) FROM words", taken.copy.name)).toBe("5")
          } else {
            expect(finished.exitCode, finished.stderr).toBe(0)
            expect(await differences(original, finished.copy)).toEqual([])
            const sorted = "SELECT string_agg(word, ' ' ORDER BY word) FROM words"
            const { server, name } = finished.copy
            expect(await server.psql(sorted, name)).toBe(await original.server.psql(sorted, original.name))
          }
        },
      )
    }
  })
})
