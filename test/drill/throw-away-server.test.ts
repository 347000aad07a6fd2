import { existsSync, readdirSync } from "node:fs"
import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { chooseServerPrograms, findServerPrograms } from "../../task/drill/server-programs.ts"
import { startThrowAwayServer } from "../../task/drill/throw-away-server.ts"
import { PgstowError } from "../../task/errors.ts"
import { testContext } from "../support/context.ts"
import { rejectionOf } from "../support/failure.ts"
import { findPostgres } from "../support/postgres.ts"
import { processesNaming } from "../support/processes.ts"
import { openTestSession } from "../support/session.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

let folder: string
const { TMPDIR } = process.env
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pgstow-drill-test-"))
  // Where root is somebody else, its user must come through.
  if (process.getuid?.() === 0) await import("node:fs/promises").then(({ chmod }) => chmod(folder, 0o711))
  process.env.TMPDIR = folder
})
afterEach(async () => {
  if (TMPDIR === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = TMPDIR
  await rm(folder, { recursive: true, force: true })
})

const programsOf = async (major: number | undefined) =>
  chooseServerPrograms(
    await findServerPrograms(
      testContext(),
      findPostgres().map(({ binDir }) => binDir),
    ),
    major,
  )

describe.for(majors)("PostgreSQL %i", (major) => {
  test("a throw-away server answers on its socket alone, and leaves nothing", async () => {
    const programs = await programsOf(major)
    expect(programs.major).toBe(major)
    const server = await startThrowAwayServer(programs, testContext())
    const { host = "" } = server.connection.params
    expect(host.startsWith(folder)).toBe(true)
    const session = await openTestSession(await sharedPostgres(major), server.connection)
    expect(
      await session.query(
        "SELECT current_setting('listen_addresses') AS tcp, current_setting('fsync') AS fsync, current_user AS user",
      ),
    ).toEqual([{ tcp: "", fsync: "off", user: "postgres" }])
    await session.close()
    await server.stop()
    expect(readdirSync(folder)).toEqual([])
    expect(processesNaming(dirname(host))).toEqual([])
  })
})

test("where the folder's name is too long for a socket, it listens on 127.0.0.1", async () => {
  process.env.TMPDIR = join(folder, "long".repeat(20))
  await mkdir(process.env.TMPDIR, { mode: 0o755 })
  const server = await startThrowAwayServer(await programsOf(majors.at(-1)), testContext())
  expect(server.connection.params.host).toBe("127.0.0.1")
  const session = await openTestSession(await sharedPostgres(), server.connection)
  await session.close()
  await server.stop()
  expect(readdirSync(process.env.TMPDIR)).toEqual([])
})

test("a server that can't start says why, and leaves nothing", async () => {
  const programs = { ...(await programsOf(majors.at(-1))), postgres: "/bin/false" }
  const failure = await rejectionOf(startThrowAwayServer(programs, testContext()))
  expect(failure).toBeInstanceOf(PgstowError)
  expect(failure).toMatchObject({ kind: "postgres" })
  expect(readdirSync(folder)).toEqual([])
})

test("a signal as it starts leaves nothing", async () => {
  const stop = new AbortController()
  const starting = startThrowAwayServer(await programsOf(majors.at(-1)), testContext({ signal: stop.signal }))
  setTimeout(() => stop.abort(new PgstowError("terminated", "stopped")), 100)
  expect(await rejectionOf(starting)).toMatchObject({ kind: "terminated" })
  expect(existsSync(folder) && readdirSync(folder)).toEqual([])
})

test("the same major version is taken, or the next newer one; what to install is said otherwise", () => {
  const of = (major: number) => ({ major, version: `${major}.1`, postgres: "", initdb: "" })
  const found = [of(18), of(15), of(17)]
  expect(chooseServerPrograms(found, 15).major).toBe(15)
  expect(chooseServerPrograms(found, 16).major).toBe(17)
  expect(chooseServerPrograms(found, undefined).major).toBe(18)
  expect(() => chooseServerPrograms(found, 19)).toThrow("the newest here is 18.1")
  expect(() => chooseServerPrograms([], 17)).toThrow("there are none here")
})
