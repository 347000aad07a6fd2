import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { stripVTControlCharacters } from "node:util"
import stringWidth from "string-width"
import { describe, expect, onTestFinished, test } from "vitest"
import { setBucket } from "../support/bucket.ts"
import { type PostgresServer, startPostgres } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"
import { majors, needsOlder } from "../support/shared-postgres.ts"
import { runOnTerminal } from "../support/terminal.ts"

/** What is left after a loss: a bucket with a backup, a key, and an empty server of the newest major version. */
async function loseTheDatabase() {
  const [source, target] = await Promise.all(
    [majors[0], majors.at(-1)].map((major) => startPostgres({ major })),
  )
  if (!source || !target) throw new Error("there is no PostgreSQL")
  onTestFinished(() => Promise.all([source.stop(), target.stop()]).then(() => {}))
  const scene = await setScene(source)
  const bucket = await setBucket()
  await source.psql(`
    CREATE ROLE orders_owner; CREATE ROLE app LOGIN PASSWORD 'secret'; CREATE DATABASE orders OWNER orders_owner`)
  await source.psql(
    `SET ROLE orders_owner; CREATE SCHEMA shop;
     CREATE TABLE shop.orders (id int PRIMARY KEY, what text);
     INSERT INTO shop.orders SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 20000) i;
     GRANT USAGE ON SCHEMA shop TO app; GRANT SELECT ON shop.orders TO app`,
    "orders",
  )
  const here = { ...bucket.env, PGSTOW_STORAGE: bucket.storage }
  await scene.json(["backup"], { ...here, DATABASE_URL: source.url("orders") })
  await source.stop()
  await writeFile(join(scene.folder, "pgstow.key"), `${scene.identity}\n`, { mode: 0o600 })
  const left = (user?: string) => {
    const url = new URL(target.url("postgres"))
    if (user !== undefined) [url.username, url.password] = [user, "pw"]
    const env = { ...here, DATABASE_URL: url.href, PGSTOW_PG_BIN: target.binDir, TMPDIR: scene.folder }
    return { env, folder: scene.folder }
  }
  return { target, left }
}

/** What stands on the screen in the end: of each line what was written over it last. */
function linesOf(screen: string): string[] {
  return screen.split("\n").map((line) => stripVTControlCharacters(line.replace(/^.*\r/, "")))
}

/** Does what the program itself says at each step, on a terminal of 80 columns, and gives what the application sees. */
async function getItBack(
  target: PostgresServer,
  machine: Awaited<ReturnType<typeof loseTheDatabase>>["left"],
  user?: string,
) {
  const run = async (...args: string[]) => {
    const { exitCode, screen } = await runOnTerminal(machine(user), args, {}, { columns: 80 })
    // What is written over again and again is cut, and never wraps.
    const overwritten = screen.split("\r").map((text) => stripVTControlCharacters(text))
    for (const text of overwritten.filter((text) => !text.includes("\n")))
      expect(stringWidth(text), text).toBeLessThan(80)
    return { exitCode, screen, lines: linesOf(screen) }
  }
  const listed = await run("list")
  expect(listed.exitCode, listed.screen).toBe(0)
  for (const line of listed.lines) expect(line.length, line).toBeLessThanOrEqual(80)
  const [id = ""] = /^\d{8}T\d{6}Z-\w{8}(?= +orders )/m.exec(listed.screen) ?? []
  expect(id, listed.screen).not.toBe("")

  const dry = await run("restore", "latest", "--identity", "pgstow.key", "--dry-run")
  for (const line of dry.lines) expect(line.length, line).toBeLessThanOrEqual(80)
  expect(dry.screen).toContain("--create-roles")
  expect(dry.screen).toContain("orders_owner")
  expect(await target.psql("SELECT count(*) FROM pg_database WHERE datname ~ 'orders'")).toBe("0")

  const restored = await run("restore", "latest", "--identity", "pgstow.key", "--create-roles")
  expect(restored.exitCode, restored.screen).toBe(0)
  expect(restored.screen).toContain(`restored ${id} of orders into orders_restored_`)
  const statements = restored.lines
    .map((line) => line.trim())
    .filter((line) => /^ALTER DATABASE .*;$/.test(line))
  expect(statements, restored.screen).toHaveLength(1)
  const [needsPassword = ""] = restored.lines.filter((line) => /without a password.* app: set it/.test(line))
  expect(needsPassword, restored.screen).not.toBe("")
  const asUser = new URL(machine(user).env.DATABASE_URL)
  await target.psql(
    `\\connect '${asUser.href}'\n${statements.join("\n")}\nALTER ROLE app PASSWORD 'again'`,
    "postgres",
  )

  const url = new URL(target.url("orders"))
  ;[url.username, url.password] = ["app", "again"]
  return target.psql(`\\connect '${url.href}'\nSELECT count(*), current_user FROM shop.orders`, "orders")
}

describe.skipIf(needsOlder)(`from "database gone" to restored on a newer major${needsOlder}`, () => {
  test("a superuser gets all of it back by what the program says on 80 columns", async () => {
    const { target, left } = await loseTheDatabase()
    expect(await getItBack(target, left)).toBe("20000|app")
  })

  test("so does an admin who is no superuser", async () => {
    const { target, left } = await loseTheDatabase()
    await target.psql("CREATE ROLE adm LOGIN CREATEROLE CREATEDB PASSWORD 'pw'")
    expect(await getItBack(target, left, "adm")).toBe("20000|app")
  })
})
