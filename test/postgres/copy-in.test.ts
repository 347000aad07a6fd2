import { access, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { zstdCompressSync } from "node:zlib"
import { beforeAll, describe, expect, onTestFinished, test } from "vitest"
import { PgstowError } from "../../task/errors.ts"
import { type CopyInOptions, copyIn } from "../../task/postgres/copy-in.ts"
import { findZstd } from "../../task/streams/zstd.ts"
import { failing, inPieces } from "../support/bytes.ts"
import { clientsWith } from "../support/client-folder.ts"
import { rejectionOf } from "../support/failure.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { clientsOf, connectionTo } from "../support/session.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

const zstd = await findZstd(process.env)
const segment = { schema: "s s", table: 'o"x', columns: ["n", "select"], rows: 3, rawBytes: 1_000_000 }
const rows = "1\ta\\tb\n2\t\\N\n3\t\\\\.\n"

describe.for(majors)("rows for PostgreSQL %i", (major) => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await sharedPostgres(major)
  })

  async function target(columns = `n int, "select" text, more int DEFAULT 7`) {
    const database = await server.createDatabase()
    await server.psql(`CREATE SCHEMA "s s"; CREATE TABLE "s s"."o""x" (${columns})`, database)
    const content = () => server.psql(`SELECT * FROM "s s"."o""x" ORDER BY 1`, database)
    const load = (source: AsyncIterable<Buffer>, more: Partial<CopyInOptions> = {}, wanted = segment) =>
      copyIn(source, wanted, {
        clients: clientsOf(server),
        connection: connectionTo(server, database),
        serverMajor: server.major,
        name: "the segment",
        encoding: "UTF8",
        owners: "keep",
        zstd,
        env: {},
        ...more,
      })
    return { database, content, load }
  }

  const compressed = (text: string | Buffer = rows) => inPieces(zstdCompressSync(text), [7])

  test.for([["a zstd program"], ["Node's own zstd"]])("are loaded by way of %s", async ([which]) => {
    const { content, load } = await target()
    expect(await load(compressed(), which === "a zstd program" ? {} : { zstd: undefined })).toBeUndefined()
    expect(await content()).toBe("1|a\tb|7\n2||7\n3|\\.|7")
  })

  test("are converted from the encoding that they are in", async () => {
    const { content, load } = await target()
    const latin = Buffer.from("1\tStra\xdfe\n", "latin1")
    expect(await load(compressed(latin), { encoding: "LATIN1" }, { ...segment, rows: 1 })).toBeUndefined()
    expect(await content()).toBe("1|Straße|7")
  })

  test("belong to the role that is to own them", async () => {
    const { database, load } = await target()
    const role = `loader_${database}`
    await server.psql(`CREATE ROLE "${role}"; GRANT USAGE ON SCHEMA "s s" TO "${role}"`, database)
    expect(await load(compressed(), { owners: { role } })).toMatchObject({ class: "permission-denied" })
    await server.psql(`GRANT INSERT ON "s s"."o""x" TO "${role}"`, database)
    expect(await load(compressed(), { owners: { role } })).toBeUndefined()
  })

  test("that the server refuses are told, and none is kept", async () => {
    const { content, load } = await target(`n int CHECK (n < 3), "select" text`)
    const error = await load(compressed())
    expect(error).toMatchObject({
      class: "constraint-violated",
      message: 'new row for relation "o"x" violates check constraint "o"x_n_check"',
      entry: `TABLE DATA o"x`,
      statement: null,
    })
    expect(error?.detail).toMatch(
      /^DETAIL: {2}Failing row contains \(3, \\\.\)\.\nCONTEXT: {2}COPY o"x, line 3/,
    )
    expect(await content()).toBe("")
  })

  test("that are not as many as there were are no restore", async () => {
    const { load } = await target()
    const failure = await rejectionOf(load(compressed(), {}, { ...segment, rows: 4 }))
    expect(failure).toMatchObject({
      kind: "damaged",
      message: `the segment has 3 rows of "s s"."o""x", and 4 by the manifest`,
    })
  })

  test("are counted by psql, whatever looks like its words", async () => {
    const { database, content, load } = await target()
    const lie = (count: number) =>
      `RAISE WARNING E'x\\npgstow copied ${count}\\r\\npgstow copied ${count}\\nx'`
    await server.psql(
      `CREATE FUNCTION lies(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN ${lie(4)}; RETURN true; END $$;
       ALTER TABLE "s s"."o""x" ADD CHECK (lies(n))`,
      database,
    )
    expect((await rejectionOf(load(compressed(), {}, { ...segment, rows: 4 }))).message).toContain(
      "has 3 rows",
    )
    expect(await load(compressed())).toBeUndefined()
    expect(await content()).not.toBe("")
  })

  test("of a table whose names hold commands for psql run none of them", async () => {
    const { load } = await target()
    const folder = await mkdtemp(join(tmpdir(), "pgstow-copy-in-"))
    onTestFinished(() => rm(folder, { recursive: true }))
    const proof = join(folder, "proof")
    const command = `touch ${proof}`
    for (const name of [
      `x\n\\! ${command}\n`,
      `x" FROM PROGRAM '${command}' --`,
      `x"; \\! ${command}`,
      `\`${command}\``,
      `x\\`,
      `:'x' '`,
    ])
      for (const names of [{ schema: name }, { table: name }, { columns: ["n", name] }])
        await load(compressed(), {}, { ...segment, ...names }).catch(() => {})
    await expect(access(proof)).rejects.toThrow("ENOENT")
  })

  test("whose source fails are not kept", async () => {
    const { content, load } = await target()
    const swapped = new PgstowError("damaged", "it was swapped")
    const source = failing([zstdCompressSync(rows)], swapped)
    await expect(load(source)).rejects.toBe(swapped)
    expect(await content()).toBe("")
  })

  test("that a killed program has passed on in part are no refusal, and not to be loaded again", async () => {
    const { load } = await target()
    const folder = await mkdtemp(join(tmpdir(), "pgstow-copy-in-"))
    onTestFinished(() => rm(folder, { recursive: true }))
    const killed = join(folder, "zstd")
    // It says something before, as the real one does.
    const script = `#!/bin/sh\necho '*** Zstandard CLI ***' >&2\nprintf '1\\tone\\n2\\ttw'\nkill -TERM $$\n`
    await writeFile(killed, script, { mode: 0o755 })
    const failure = await rejectionOf(load(compressed(), { zstd: killed }))
    expect(failure.kind).toBe("postgres")
    expect(failure.message).toContain("zstd was ended by SIGTERM")
  })

  test("that were loaded by a psql which is then killed are not to be loaded again", async () => {
    const { load, content } = await target()
    const folder = await clientsWith(
      server,
      "psql",
      '"$real" "$@"; echo "WARNING:  the machine is short of memory" >&2; kill -KILL $$',
    )
    const failure = await rejectionOf(
      load(compressed(), { clients: { psql: { file: join(folder, "psql") } } }),
    )
    expect(failure.kind).toBe("postgres")
    expect(failure.message).toContain("was ended by SIGKILL")
    expect(await content()).not.toBe("")
  })

  test("end with the connection, and with the signal", async () => {
    const { database, content, load } = await target()
    // psql hears of a lost connection only where the rows end.
    let isCut = false
    async function* slow() {
      while (!isCut) {
        yield zstdCompressSync(rows.repeat(10_000))
        await sleep(10)
      }
    }
    const lost = rejectionOf(load(slow()))
    const others = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}' AND query LIKE 'COPY%'`
    while ((await server.psql(others)) === "") await sleep(20)
    isCut = true
    const { kind, message } = await lost
    isCut = false
    expect(kind).toBe("postgres")
    expect(message).toMatch(/terminating connection|closed the connection/)

    const reason = new Error("enough")
    await expect(load(slow(), { signal: AbortSignal.timeout(500) })).rejects.toThrow("timeout")
    await expect(load(slow(), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(await content()).toBe("")
  })
})
