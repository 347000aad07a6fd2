import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { chooseClients, chooseForRestore, findClients, newestClients } from "../../task/postgres/clients.ts"
import { failureOf } from "../support/failure.ts"
import { findPostgres } from "../support/postgres.ts"

let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "pgstow-clients-"))
})
afterAll(() => rm(root, { recursive: true }))

/** A folder of programs that say they are of `version`, which 90 and up keeps apart from what is installed here. */
async function install(folder: string, version: string, names = ["pg_dump", "pg_restore", "psql"]) {
  const path = join(root, folder)
  await mkdir(path, { recursive: true })
  for (const name of names) {
    await writeFile(join(path, name), `#!/bin/sh\necho "${name} (PostgreSQL) ${version} (a test)"\n`)
    await chmod(join(path, name), 0o755)
  }
  return path
}

const fake = async (env: Record<string, string>, dirs: string[] = []) =>
  (await findClients({ env }, dirs)).filter(({ major }) => major >= 90)

describe("finding clients", () => {
  test("every version installed here is found, whatever PATH says", async () => {
    const found = await findClients(
      { env: { PATH: "/usr/bin" } },
      findPostgres().map(({ binDir }) => binDir),
    )
    for (const { major, version } of findPostgres())
      expect(found.find((clients) => clients.major === major)?.version).toBe(version)
  })

  test("Debian's wrapper is passed over for the programs behind it", async () => {
    const shared = await install("share/postgresql-common", "91.1", ["pg_dump"])
    await rename(join(shared, "pg_dump"), join(shared, "pg_wrapper"))
    const wrapped = join(root, "wrapped")
    await mkdir(wrapped)
    for (const name of ["pg_dump", "pg_restore", "psql"])
      await symlink(join(shared, "pg_wrapper"), join(wrapped, name))
    expect(await fake({ PATH: wrapped })).toEqual([])
  })

  test("folders given go before PATH", async () => {
    const [given, onPath] = [await install("a", "95.1"), await install("b", "95.2")]
    const found = await fake({ PATH: `${onPath}:` }, [given])
    expect(found.map(({ version }) => version)).toEqual(["95.1", "95.2"])
    expect(chooseClients(found, 95).pgDump.file).toBe(join(given, "pg_dump"))
  })

  test("a folder that is linked to is found once, by its own name", async () => {
    const real = await install("d", "96beta1")
    const links = join(root, "links")
    await mkdir(links)
    for (const name of ["pg_dump", "pg_restore", "psql"]) await symlink(join(real, name), join(links, name))
    await symlink(real, join(root, "linked"))
    const [clients, ...others] = await fake({ PATH: `${links}:${join(root, "linked")}:${real}` })
    expect(clients).toMatchObject({ major: 96, version: "96beta1", psql: { file: join(real, "psql") } })
    expect(others).toEqual([])
  })

  test("a folder where a program is missing, or does not run, is no clients", async () => {
    const partial = await install("partial", "97.1", ["pg_dump", "psql"])
    const broken = await install("broken", "98.1")
    await writeFile(join(broken, "pg_dump"), "#!/nowhere\n")
    expect(await fake({ PATH: `${partial}:${broken}:/nowhere:` })).toEqual([])
  })
})

const clients = (...versions: string[]) =>
  versions.map((version) => ({
    version,
    major: Number.parseInt(version, 10),
    pgDump: { file: `/pg/${version}/pg_dump` },
    pgRestore: { file: `/pg/${version}/pg_restore` },
    psql: { file: `/pg/${version}/psql` },
  }))

describe("choosing clients", () => {
  test.for([
    [["18.1", "15.3", "17.2"], 15, "15.3"],
    [["18.1", "15.3", "17.2"], 16, "17.2"],
    [["17.9", "17.2"], 17, "17.9"],
  ] as const)("of %j a server of version %i is backed up by %s", ([versions, server, version]) => {
    expect(chooseClients(clients(...versions), server).version).toBe(version)
  })

  test.for([
    [["15.3", "17.2", "18.1"], 15, 17, "17.2"],
    [["15.3", "17.2", "18.1"], 17, 15, "17.2"],
    [["15.3", "18.1"], 17, 15, "18.1"],
    [["15.3", "18.1"], 15, 16, "15.3"],
  ] as const)(
    "of %j an archive of %i goes to a server of %i by %s",
    ([versions, archive, target, version]) => {
      expect(chooseForRestore(clients(...versions), archive, target).version).toBe(version)
    },
  )

  test("a server newer than every client is refused, with both versions and what to install", () => {
    const error = failureOf(() => chooseClients(clients("15.3", "16.2"), 18))
    expect(error.kind).toBe("postgres")
    expect(error.message).toBe(
      "the server is PostgreSQL 18, and the newest pg_dump here is 16.2 (/pg/16.2/pg_dump)",
    )
    expect(error.hint).toContain("apt-get install postgresql-client-18")
  })

  test("an archive newer than every client is refused, with both versions", () => {
    const error = failureOf(() => chooseForRestore(clients("15.3"), 17, 15))
    expect(error.message).toContain("written by pg_dump 17, and the newest pg_restore here is 15.3")
    expect(error.hint).toContain("postgresql-client-17")
  })

  test("no clients at all are refused with what to install", () => {
    expect(failureOf(() => newestClients([])).message).toContain("no PostgreSQL client programs")
    expect(dirname(newestClients(clients("9.6", "15.3")).psql.file)).toBe("/pg/15.3")
  })
})
