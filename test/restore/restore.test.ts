import { cp, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { backup } from "../../task/backup/back-up.ts"
import { keyOf, removeBackup } from "../../task/catalog/catalog.ts"
import { formatRestore } from "../../task/commands/restore.ts"
import { formatBytes } from "../../task/console/format.ts"
import type { ProgressUpdate } from "../../task/console/progress.ts"
import { incompleteName } from "../../task/core/restored-name.ts"
import { messageOf, PgstowError } from "../../task/errors.ts"
import { generateIdentity } from "../../task/keys/identity.ts"
import { connectionFrom } from "../../task/postgres/connection.ts"
import type { Session } from "../../task/postgres/session.ts"
import type { RestoreOptions } from "../../task/restore/options.ts"
import { restore } from "../../task/restore/restore.ts"
import { restoreFailure } from "../../task/restore/result.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { compareDatabases } from "../support/compare-databases.ts"
import { type TestContext, testContext } from "../support/context.ts"
import { rejectionOf } from "../support/failure.ts"
import { notRun } from "../support/not-run.ts"
import { override } from "../support/override.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { connectionTo, openTestSession } from "../support/session.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

const { identity, recipient } = await generateIdentity()
const main = "main.dump.zst.age"

describe.for(majors)("from and to PostgreSQL %i", (major) => {
  let folder: string
  let storage: Storage
  let server: PostgresServer
  let source: string
  let id: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pgstow-restore-"))
    storage = openStorage(`file://${folder}/backups`, { env: {} })
    server = await sharedPostgres(major)
    source = await server.createDatabase()
    await fillSampleDatabase(server, source, { megabytes: 3 })
    id = await backUp(source)
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  async function backUp(database: string): Promise<string> {
    const result = await backup(
      {
        connection: connectionTo(server, database),
        clientFolders: [server.binDir],
        storages: [storage],
        name: undefined,
        jobs: 1,
        recipients: [recipient],
        compressLevel: 1,
        lockWaitSeconds: 10,
        verify: false,
        shrinkWarning: 50,
      },
      testContext(),
    )
    return result.id
  }

  const optionsOf = (more: Partial<RestoreOptions> = {}): RestoreOptions => ({
    storages: [storage],
    backup: "latest",
    database: source,
    connection: connectionTo(server, source),
    clientFolders: [server.binDir],
    into: undefined,
    jobs: 2,
    createRoles: false,
    identities: [identity],
    selection: undefined,
    owners: "keep",
    grants: "keep",
    tablespaces: "keep",
    clean: false,
    locale: "original",
    analyze: true,
    anyway: false,
    yes: false,
    ask: undefined,
    ...more,
  })
  const run = (more: Partial<RestoreOptions> = {}, context: TestContext = testContext()) =>
    restore(optionsOf(more), context)

  /** For what is the same for every version. */
  const once = test.runIf(major === majors.at(-1))

  let names = 0
  const newName = () => `${source} "new" ${++names} 🚲`
  const exists = async (name: string) =>
    (await server.psql(`SELECT 1 FROM pg_database WHERE datname = '${name}'`)) === "1"
  const differences = (name: string) => compareDatabases({ server, name: source }, { server, name })
  /** A copy of the original, without what is said of the database itself. */
  async function copyOf(database: string): Promise<string> {
    const name = await server.createDatabase()
    await server.psql(`DROP DATABASE ${name}; CREATE DATABASE ${name} TEMPLATE "${database}"`)
    return name
  }
  /** A storage with the same backup, to be damaged. */
  async function copyOfStorage(): Promise<{ storage: Storage; object: string }> {
    const copy = join(folder, `copy-${++names}`)
    await cp(join(folder, "backups"), copy, { recursive: true })
    return {
      storage: openStorage(`file://${copy}`, { env: {} }),
      object: join(copy, keyOf({ database: source, id }, main)),
    }
  }
  async function limitedUser(
    attributes = "",
  ): Promise<{ user: string; connection: RestoreOptions["connection"] }> {
    const user = `limited_${source}_${++names}`
    await server.psql(`CREATE ROLE "${user}" LOGIN PASSWORD 'limited' ${attributes}`)
    const url = `postgres://${user}:limited@127.0.0.1:${server.port}/postgres`
    return { user, connection: connectionFrom({ databaseUrl: url }) }
  }

  describe("a new database", () => {
    test("is equal to the original, and named after it", async () => {
      const context = testContext()
      const result = await run({}, context)
      const details = context.updates.map(({ detail = "" }) => detail)
      expect(details.some((detail) => /^\d+ of \d+, index shop\./.test(detail))).toBe(true)
      expect(context.updates.at(-1)?.estimate?.().share).toBeGreaterThan(0.1)
      expect(result).toMatchObject({
        id,
        database: source,
        state: "restored",
        errors: [],
        warnings: [],
        leftOut: [],
      })
      expect(result.into).toMatch(new RegExp(`^${source}_restored_\\d{12}$`))
      expect(result.tables).toBe(27)
      expect(restoreFailure(result)).toBeUndefined()
      expect(formatRestore(result)).toContain(`restored ${id} of ${source} into ${result.into}: 27 tables`)
      expect(await differences(result.into)).toEqual([])
      expect(await exists(incompleteName(result.into))).toBe(false)
    })

    once("ends with the statements that give it the original's name, and they do", async () => {
      const original = await server.createDatabase(`${source} "place" 🚲`)
      await server.psql("CREATE TABLE t AS SELECT 1 AS a", original)
      await backUp(original)
      await server.psql("UPDATE t SET a = 2", original)
      const first = await run({ database: original })
      expect(first.rename).toHaveLength(2)
      expect(formatRestore(first)).toContain(`\n  ${first.rename.join("\n  ")}`)
      await server.psql(first.rename.join("\n"))
      expect(await server.psql("SELECT a FROM t", original)).toBe("1")
      const [, former = ""] = / RENAME TO (".*");$/.exec(first.rename[0] ?? "") ?? []
      await server.psql(`DROP DATABASE ${former}`)

      await server.psql(`DROP DATABASE "${original.replaceAll('"', '""')}"`)
      const second = await run({ database: original })
      expect(second.rename).toHaveLength(1)
      await server.psql(second.rename.join("\n"))
      expect(await server.psql("SELECT a FROM t", original)).toBe("1")
      expect((await run({ database: original, into: newName() })).rename).toEqual([])
    })

    once("an incomplete one says how it gets the original's name as it is, and that does it", async () => {
      const original = await server.createDatabase()
      await server.psql(
        `CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int REFERENCES a); SET session_replication_role = replica;
         INSERT INTO b VALUES (1)`,
        original,
      )
      await backUp(original)
      const result = await run({ database: original })
      expect(result).toMatchObject({ state: "incomplete", rename: [] })
      const failure = restoreFailure(result)
      expect(failure?.message).toContain("was restored incompletely, with 1 error: ")
      const [, statements = ""] =
        /, accept it as it is, in psql with another database \((.*;)\), or drop it/.exec(
          failure?.hint ?? "",
        ) ?? []
      expect(statements).toBe(result.renameAsItIs.join(" "))
      await server.psql(statements.replaceAll("; ", ";\n"))
      expect(await server.psql("SELECT count(*) FROM pg_constraint WHERE contype = 'f'", original)).toBe("0")
      const [, former = ""] = / RENAME TO (".*");$/.exec(result.renameAsItIs[0] ?? "") ?? []
      await server.psql(`DROP DATABASE ${former}`)
    })

    once("has statistics, unless they are not wanted", async () => {
      // The server's own vacuum, which may come at any time, has another column.
      const analyzed = async (analyze: boolean) => {
        const { into } = await run({ into: newName(), analyze })
        return server.psql(
          "SELECT count(last_analyze) FROM pg_stat_all_tables WHERE relid = 'shop.orders'::regclass",
          into,
        )
      }
      expect(await analyzed(true)).toBe("1")
      expect(await analyzed(false)).toBe("0")
    })

    once("may be of a database that is read only by default", async () => {
      const readOnly = await server.createDatabase()
      await server.psql(
        `CREATE TABLE t AS SELECT 1 AS a; ALTER DATABASE ${readOnly} SET default_transaction_read_only = on`,
        readOnly,
      )
      await backUp(readOnly)
      const { into, errors } = await run({ database: readOnly })
      expect(errors).toEqual([])
      expect(await compareDatabases({ server, name: readOnly }, { server, name: into })).toEqual([])
    })

    once("may be of an empty one, and of one with large objects only", async () => {
      for (const sql of ["SELECT 1", "SELECT lo_from_bytea(0, '\\x0102') FROM generate_series(1, 3)"]) {
        const small = await server.createDatabase()
        await server.psql(sql, small)
        await backUp(small)
        const { into, state } = await run({ database: small })
        expect(state).toBe("restored")
        expect(await compareDatabases({ server, name: small }, { server, name: into })).toEqual([])
      }
    })

    once("holds the tables that are wanted, and says what it had to leave out", async () => {
      const selection = { tables: ["shop.orders", "events"], schemas: ["Odd.Schema & Späße"] }
      const result = await run({ into: newName(), selection })
      // What was restored, and not what the backup holds.
      const taken = await server.psql(
        `SELECT sum(pg_total_relation_size(oid)) FROM pg_class
          WHERE relkind IN ('r', 'm') AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)`,
        result.into,
      )
      expect(result.restoredBytes).toBe(Number(taken))
      expect(formatRestore(result)).toContain(` tables, ${formatBytes(Number(taken))} in `)
      expect(result.state).toBe("restored")
      expect(result.leftOut).toEqual([
        "fk constraint analytics.events events_customer_id_fkey",
        "fk constraint shop.orders orders_customer_id_fkey",
      ])
      const wrong = (await differences(result.into)).filter((line) =>
        / (shop\.orders|analytics\.events\w*|"Odd\S+):/.test(line),
      )
      expect(wrong).toEqual([])
    })

    once("that can't be called so is refused", async () => {
      const failure = await rejectionOf(run({ into: "x".repeat(64) }))
      expect(failure.kind).toBe("usage")
    })

    once("has nothing to clean", async () => {
      const failure = await rejectionOf(run({ into: newName(), clean: true }))
      expect(failure.kind).toBe("usage")
      expect(failure.message).toContain("to clean")
    })

    once("is made where the one in the connection is gone", async () => {
      const into = newName()
      await run({ into, connection: connectionTo(server, "a_database_that_was_lost") })
      expect(await differences(into)).toEqual([])
    })
  })

  describe("with errors", () => {
    test("the database keeps the name that says so, and may be taken as it is", async () => {
      const { connection, user } = await limitedUser("CREATEDB")
      const into = newName()
      const questions: string[] = []
      const answer = (text: string) => (question: string) => {
        questions.push(question)
        return Promise.resolve(text)
      }
      expect(await rejectionOf(run({ into, connection, ask: answer("no") }))).toMatchObject({
        kind: "notConfirmed",
      })
      expect((await rejectionOf(run({ into, connection, ask: answer("yes"), yes: true }))).kind).toBe(
        "postgres",
      )
      expect(await exists(incompleteName(into))).toBe(false)
      const result = await run({ into, connection, ask: answer("yes") })
      expect(questions).toHaveLength(2)
      expect(questions[0]).toMatch(new RegExp(`^To be restored: ${id} of ${source}, .* old, .* [KM]iB\\.\n`))
      expect(questions[0]).toContain(`the user ${user} may not act as the owners`)
      expect(questions[0]).toContain("\n    --no-owner\n")
      expect(result.state).toBe("incomplete")
      expect(result.into).toBe(incompleteName(into))
      expect(await exists(into)).toBe(false)
      // The owners of old may not be set by a user who is no member of theirs.
      expect(result.errors.map((group) => group.class)).toContain("foreign-owner")
      expect(result.errors[0]?.count).toBeGreaterThan(50)
      const failure = restoreFailure(result)
      expect(failure?.kind).toBe("restoreErrors")
      expect(failure?.message).toContain("an owner may not be set (")
      expect(formatRestore(result)).toContain(": Leave owners out (--no-owner)")
      // One sentence says what it has come to: the failure's.
      expect(failure?.message).toMatch(new RegExp(`^${id} was restored incompletely, with \\d+ errors: `))
      expect(formatRestore(result)).toMatch(/^ran to its end in [\d.]+ s, with \d+ errors\n/)

      const [, takeIt = ""] = /\((ALTER DATABASE .*? RENAME TO .*?;)\)/.exec(failure?.hint ?? "") ?? []
      await server.psql(takeIt)
      expect(await exists(into)).toBe(true)
      expect(
        await server.psql(`SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '${into}'`),
      ).toBe(user)
    })

    once("what is incomplete has the database's properties all the same", async () => {
      const original = await server.createDatabase()
      await server.psql(
        `CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int REFERENCES a); SET session_replication_role = replica;
         INSERT INTO b VALUES (1); ALTER ROLE postgres IN DATABASE ${original} SET lock_timeout = '3s'`,
        original,
      )
      await backUp(original)
      const { into, state, errors } = await run({ database: original, into: newName() })
      expect(state).toBe("incomplete")
      expect(errors.map((group) => group.class)).toEqual(["constraint-violated"])
      expect(
        await server.psql(
          `SELECT setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = '${into}'`,
        ),
      ).toContain("lock_timeout=3s")
    })

    test("a user without rights restores all rows without owners and grants", async () => {
      const { connection } = await limitedUser("CREATEDB")
      const result = await run({ into: newName(), connection, owners: "none", grants: "none" })
      expect(result).toMatchObject({ state: "restored", errors: [] })
      expect(
        (await differences(result.into)).filter((line) => /^(table|sequence|materialized)/.test(line)),
      ).toEqual([])
    })

    once("a user without the right to make databases is told what to do", async () => {
      const { connection } = await limitedUser()
      const failure = await rejectionOf(run({ into: newName(), connection, owners: "none", grants: "none" }))
      expect(failure.kind).toBe("postgres")
      expect(failure.hint).toContain("CREATEDB")
    })

    once("one role may own everything", async () => {
      const { user } = await limitedUser()
      const result = await run({ into: newName(), owners: { role: user }, grants: "none" })
      expect(result).toMatchObject({ state: "restored", errors: [] })
      const owners = await server.psql(
        `SELECT DISTINCT relowner::regrole FROM pg_class WHERE relnamespace = 'shop'::regnamespace
         UNION SELECT datdba::regrole FROM pg_database WHERE datname = current_database()`,
        result.into,
      )
      expect(owners).toBe(user)
    })

    once(
      "a role that is not there, or that the user may not act as, is refused before anything is made",
      async () => {
        const into = newName()
        const missing = await rejectionOf(run({ into, owners: { role: "nobody of that name" } }))
        expect(missing).toMatchObject({
          kind: "usage",
          message: "the target has no role nobody of that name",
        })
        const { connection } = await limitedUser("CREATEDB")
        const foreign = await rejectionOf(run({ into, connection, owners: { role: "sample_owner" } }))
        expect(foreign).toMatchObject({
          kind: "postgres",
          message: expect.stringContaining("the user may not act as the role sample_owner") as unknown,
        })
        expect(await exists(incompleteName(into))).toBe(false)
      },
    )

    once("missing roles are named before anything is made", async () => {
      const database = await server.createDatabase()
      const [owner, reader, writer] = [
        `owner_of_${database}`,
        `reader_of_${database}`,
        `Writer of ${database}`,
      ]
      await server.psql(
        `CREATE ROLE ${owner}; CREATE ROLE ${reader}; CREATE ROLE "${writer}";
         CREATE TABLE t (); ALTER TABLE t OWNER TO ${owner}; GRANT SELECT ON t TO ${reader};
         CREATE TABLE u (a int); CREATE POLICY p ON u TO "${writer}"`,
        database,
      )
      await backUp(database)
      await server.psql(`REASSIGN OWNED BY ${owner} TO postgres; DROP TABLE t; DROP TABLE u`, database)
      await server.psql(`DROP ROLE ${owner}; DROP ROLE ${reader}; DROP ROLE "${writer}"`)

      const into = newName()
      const failure = await rejectionOf(run({ database, into }))
      expect(failure.kind).toBe("postgres")
      expect(failure.message).toContain(`lacks 3 roles that the backup names: ${writer}, ${owner}, ${reader}`)
      expect(failure.hint).toContain("--create-roles")
      const others = await rejectionOf(run({ database, into, owners: "none" }))
      expect(others.message).toContain(`lacks 2 roles that the backup names: ${writer}, ${reader}`)
      expect(await exists(incompleteName(into))).toBe(false)

      await server.psql(`CREATE ROLE "${writer}"`)
      expect(await run({ database, into, owners: "none", grants: "none" })).toMatchObject({
        state: "restored",
      })
    })

    const dropped = notRun(major < 17 && (majors.at(-1) ?? 0) >= 17, "PostgreSQL 17 has dropped an extension")
    test.skipIf(dropped)(
      `an extension that the target does not have is named before anything is made${dropped}`,
      async () => {
        const newest = await sharedPostgres(majors.at(-1))
        const database = await server.createDatabase()
        await server.psql("CREATE EXTENSION old_snapshot; CREATE TABLE t ()", database)
        await backUp(database)
        const to = { database, connection: connectionTo(newest), clientFolders: [newest.binDir] }

        const refusal = await rejectionOf(run({ ...to, into: newName() }))
        expect(refusal).toMatchObject({ kind: "postgres" })
        expect(refusal.hint).toContain("--skip-extension old_snapshot")
        const context = testContext()
        const result = await run({ ...to, into: newName(), anyway: true }, context)
        expect(context.warnings[0]).toContain("does not have the extension old_snapshot")
        expect(result.state).toBe("incomplete")
        expect(result.errors.map((group) => group.class)).toEqual(["missing-extension"])

        const into = await newest.createDatabase()
        const failure = await rejectionOf(run({ ...to, into }))
        expect(failure.message).toContain("does not have the extension old_snapshot")
        expect(await newest.psql("SELECT count(*) FROM pg_class WHERE relname = 't'", into)).toBe("0")
      },
    )

    once("what an earlier restore left is dropped only with consent", async () => {
      const into = newName()
      const incomplete = await server.createDatabase(incompleteName(into))
      await server.psql("CREATE TABLE left_over ()", incomplete)
      const questions: string[] = []
      const answer = (text: string) => (question: string) => {
        questions.push(question)
        return Promise.resolve(text)
      }
      for (const ask of [undefined, answer("no"), answer("")]) {
        const failure = await rejectionOf(run({ into, ask }))
        expect(failure.kind).toBe("notConfirmed")
        expect(failure.message).toContain(incomplete)
      }
      expect(questions).toHaveLength(2)
      expect(await server.psql("SELECT count(*) FROM left_over", incomplete)).toBe("0")
      expect(await run({ into, ask: answer("yes") })).toMatchObject({ state: "restored" })
      expect(await exists(incomplete)).toBe(false)
    })
  })

  describe("a backup that is not as it was written", () => {
    once("is refused before anything is made where it is cut, and where its object is missing", async () => {
      const { storage: damaged, object } = await copyOfStorage()
      const into = newName()
      await writeFile(object, (await readFile(object)).subarray(0, -1))
      expect((await rejectionOf(run({ storages: [damaged], into }))).kind).toBe("damaged")
      await rm(object)
      expect((await rejectionOf(run({ storages: [damaged], into }))).kind).toBe("damaged")
      expect(await exists(incompleteName(into))).toBe(false)
    })

    once("is said to be gone, and not to be damaged, where it is removed meanwhile", async () => {
      for (const readsBefore of [0, 1]) {
        const { storage: copy } = await copyOfStorage()
        let reads = 0
        const removed = override(copy, {
          read: async (key, options) => {
            if (key.endsWith(main) && reads++ === readsBefore)
              await removeBackup(copy, { database: source, id })
            return copy.read(key, options)
          },
        })
        const into = newName()
        const ended = await run({ storages: [removed], into }).then(restoreFailure, (error: unknown) => error)
        expect(ended).toMatchObject({ kind: "notFound", exitCode: 8 })
        expect(messageOf(ended)).toContain(`backup ${id} is no longer in ${copy.url}`)
      }
    })

    once("leaves an incomplete database where a bit is flipped in the middle", async () => {
      const { storage: damaged, object } = await copyOfStorage()
      const bytes = await readFile(object)
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
      await writeFile(object, bytes)
      const into = newName()
      const result = await run({ storages: [damaged], into })
      expect(result).toMatchObject({ state: "incomplete", failure: { kind: "damaged" } })
      expect(restoreFailure(result)).toMatchObject({ kind: "damaged" })
      expect(restoreFailure(result)?.hint).toContain(
        `DROP DATABASE "${incompleteName(into).replaceAll('"', '""')}"`,
      )
      expect(await exists(into)).toBe(false)
    })

    once(
      "is found out where the objects of two backups were swapped, before an existing database changes",
      async () => {
        const twin = await copyOf(source)
        const other = await backUp(twin)
        const { storage: damaged, object } = await copyOfStorage()
        await cp(join(folder, "backups", keyOf({ database: twin, id: other }, main)), object)
        // As if they had the same size.
        const manifestFile = join(object, "../manifest.json")
        const { size } = await stat(object)
        const manifest = await readFile(manifestFile, "utf8")
        await writeFile(manifestFile, manifest.replace(/("kind": "main",\s+"sizeBytes": )\d+/, `$1${size}`))

        const into = newName()
        const result = await run({ storages: [damaged], into })
        expect(result).toMatchObject({ state: "incomplete", failure: { kind: "damaged" } })
        expect(result.failure?.message).toContain("its SHA-256 is another")
        expect(await exists(into)).toBe(false)

        const target = await server.createDatabase()
        const failure = await rejectionOf(run({ storages: [damaged], into: target }))
        expect(failure.kind).toBe("damaged")
        expect(await server.psql("SELECT count(*) FROM pg_class WHERE relname = 'orders'", target)).toBe("0")
      },
    )

    once("is refused without its key, and with another one, before anything is made", async () => {
      const into = newName()
      for (const identities of [[], [(await generateIdentity()).identity]]) {
        const failure = await rejectionOf(run({ into, identities }))
        expect(failure.kind).toBe("key")
        expect(failure.hint).toContain(recipient)
      }
      expect(await exists(incompleteName(into))).toBe(false)
    })
  })

  describe("a database that exists", () => {
    const typed = (answer: string, questions: string[] = []) => ({
      ask: (question: string) => {
        questions.push(question)
        return Promise.resolve(answer)
      },
    })

    once("is filled without a question where it is empty", async () => {
      const into = await server.createDatabase()
      const result = await run({ into })
      expect(result).toMatchObject({ state: "restored", into, errors: [] })
      expect((await differences(into)).filter((line) => !line.startsWith("database:"))).toEqual([])
    })

    test("is shown, and touched only when its name has been typed", async () => {
      const into = await copyOf(source)
      await server.psql("DELETE FROM shop.order_items; CREATE TABLE of_our_own AS SELECT 7 AS a", into)
      const questions: string[] = []
      for (const ask of [undefined, typed("yes", questions).ask, typed("", questions).ask]) {
        const failure = await rejectionOf(run({ into, clean: true, ask }))
        expect(failure.kind).toBe("notConfirmed")
      }
      expect(questions[0]).toContain(into)
      expect(questions[0]).toMatch(
        new RegExp(`\nTo be restored there: ${id} of ${source}, .* old, .* [KM]iB\\.\n`),
      )
      expect(questions[0]).toContain("28 tables")
      expect(questions[0]).toContain("shop.orders")
      expect(await server.psql("SELECT count(*) FROM shop.order_items", into)).toBe("0")

      expect(await run({ into, clean: true, ...typed(into) })).toMatchObject({
        state: "restored",
        errors: [],
      })
      const left = (await differences(into)).filter((line) => !line.startsWith("database:"))
      expect(
        left.filter((line) => !line.includes("of_our_own") && !/: {3,}a integer|: \);/.test(line)),
      ).toEqual([])
      expect(await server.psql("SELECT a FROM of_our_own", into)).toBe("7")
    })

    once("is as it was where anything is in the way", async () => {
      const into = await copyOf(source)
      await server.psql("DROP SCHEMA audit CASCADE; DELETE FROM shop.documents", into)
      const before = await copyOf(into)
      const result = await run({ into, yes: true })
      expect(result).toMatchObject({ state: "unchanged", into, failure: { kind: "postgres" } })
      expect(result.errors.map((group) => group.class)).toEqual(["already-exists"])
      expect(restoreFailure(result)?.hint).toContain(`Nothing was changed in ${into}.`)
      expect(formatRestore(result)).toMatch(/^stopped after [\d.]+ s, and rolled back: 1 error\n/)
      expect(await compareDatabases({ server, name: before }, { server, name: into })).toEqual([])
    })

    once("is as it was where something of its own hangs on what is to be replaced", async () => {
      const into = await copyOf(source)
      await server.psql("CREATE VIEW of_our_own AS SELECT id FROM shop.orders", into)
      const before = await copyOf(into)
      const result = await run({ into, yes: true, clean: true })
      expect(result).toMatchObject({ state: "unchanged", into })
      expect(result.errors.map((group) => group.class)).toEqual(["still-needed"])
      expect(await compareDatabases({ server, name: before }, { server, name: into })).toEqual([])
    })

    once("gets the schemas that it lacks and the wanted lie in, with their grants", async () => {
      const original = await server.createDatabase()
      const reader = `reader_${original}`
      await server.psql(
        `CREATE ROLE ${reader}; CREATE SCHEMA one; CREATE TABLE one.t AS SELECT 1 AS a; CREATE TABLE one.other ();
         CREATE SCHEMA two; COMMENT ON SCHEMA two IS 'the second'; CREATE TABLE two.t AS SELECT 2 AS a;
         GRANT USAGE ON SCHEMA one, two TO ${reader}`,
        original,
      )
      await backUp(original)
      const into = await server.createDatabase()
      for (const selection of [
        { tables: ["one.t"], schemas: [] },
        { tables: [], schemas: ["two"] },
      ])
        expect(await run({ database: original, into, yes: true, selection })).toMatchObject({
          state: "restored",
          errors: [],
        })
      const look = `
        SELECT string_agg(concat(nspname, nspacl, obj_description(oid)), ' ' ORDER BY nspname)
          FROM pg_namespace WHERE nspname IN ('one', 'two')`
      expect(await server.psql(look, into)).toBe(await server.psql(look, original))
      expect(await server.psql("SELECT a FROM one.t UNION SELECT a FROM two.t ORDER BY 1", into)).toBe("1\n2")
      expect(await server.psql("SELECT to_regclass('one.other') IS NULL", into)).toBe("t")
      // What is there stays as it is.
      await server.psql("DROP TABLE one.t; REVOKE USAGE ON SCHEMA one FROM PUBLIC", into)
      const selection = { tables: ["one.t", "one.other"], schemas: [] }
      expect(await run({ database: original, into, yes: true, selection })).toMatchObject({
        state: "restored",
      })
    })

    once("gets one table back", async () => {
      const into = await copyOf(source)
      await server.psql("DROP TABLE shop.documents", into)
      const result = await run({ into, yes: true, selection: { tables: ["shop.documents"], schemas: [] } })
      expect(result).toMatchObject({
        state: "restored",
        tables: 1,
        leftOut: ["fk constraint shop.documents documents_order_id_fkey"],
      })
      expect((await differences(into)).filter((line) => line.startsWith("table"))).toEqual([])
    })

    once("whose extensions an administrator has installed can be restored by another user", async () => {
      const { connection, user } = await limitedUser()
      const into = await server.createDatabase()
      await server.psql(`CREATE EXTENSION pgcrypto; GRANT CREATE ON DATABASE ${into} TO "${user}"`, into)
      const result = await run({ into, connection, owners: "none", grants: "none" })
      expect(result).toMatchObject({ state: "restored", errors: [] })
    })
  })

  describe("midway", () => {
    once("told to stop, it rejects with the reason, and says where the pieces are", async () => {
      const into = newName()
      const stop = new AbortController()
      const context = testContext({ signal: stop.signal })
      const reason = new PgstowError("interrupted", "stopped by SIGINT")
      const stopping = {
        ...context,
        progress: {
          ...context.progress,
          update: ({ detail }: ProgressUpdate) => {
            if (detail?.startsWith("table data")) stop.abort(reason)
          },
        },
      }
      const { kind, message, hint } = await rejectionOf(restore(optionsOf({ into }), stopping))
      expect({ kind, message }).toEqual({ kind: reason.kind, message: reason.message })
      expect(hint).toContain(`The database ${incompleteName(into)} holds what was restored so far`)
      expect(await exists(into)).toBe(false)
      expect(await exists(incompleteName(into))).toBe(true)
    })

    once("a database that somebody uses keeps the name it has, and may be renamed later", async () => {
      const into = newName()
      const context = testContext()
      let other: Promise<Session> | undefined
      const using = {
        ...context,
        progress: {
          ...context.progress,
          update: ({ stage }: ProgressUpdate) => {
            if (stage.startsWith("analyzing"))
              other ??= openTestSession(server, connectionTo(server, incompleteName(into)))
          },
        },
      }
      const result = await restore(optionsOf({ into }), using)
      await (await other)?.close()
      expect(result).toMatchObject({ state: "incomplete", errors: [], failure: { kind: "postgres" } })
      expect(result.failure?.message).toContain("is being accessed by other users")
      expect(restoreFailure(result)?.hint).toContain("RENAME TO")
      expect(await differences(incompleteName(into))).toEqual([])
    })

    once("a server that ends the connection is a failure, and says so", async () => {
      const into = newName()
      const context = testContext()
      let killed: Promise<string> | undefined
      const killing = {
        ...context,
        progress: {
          ...context.progress,
          update: ({ detail }: ProgressUpdate) => {
            if (detail?.startsWith("table data shop"))
              killed ??= server.psql(
                `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${incompleteName(into)}'`,
              )
          },
        },
      }
      const result = await restore(optionsOf({ into }), killing)
      await killed
      expect(result).toMatchObject({ state: "incomplete", failure: { kind: "postgres" } })
      expect(result.errors.map((group) => group.class)).toContain("connection-lost")
      expect(await exists(into)).toBe(false)
    })
  })
})
