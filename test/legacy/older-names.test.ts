import { readdir } from "node:fs/promises"
import { expect, test } from "vitest"
import { runPgstow } from "../support/pgstow.ts"
import { setScene } from "../support/scene.ts"

test("the environment of Sentinel backs up as it is, and each name is logged once with the one to use", async () => {
  const { server, database, folder, recipient } = await setScene()
  const env = {
    POSTGRES_HOST: server.env.PGHOST ?? "",
    POSTGRES_PORT: server.env.PGPORT ?? "",
    POSTGRES_USER: server.env.PGUSER ?? "",
    POSTGRES_PASSWORD: server.env.PGPASSWORD ?? "",
    POSTGRES_DB: database,
    BACKUP_DIR: `${folder}/older`,
    LOG_LEVEL: "INFO",
    LOG_FILE: `${folder}/log`,
    LOG_TO_FILE: "false",
    PGSTOW_RECIPIENTS: recipient,
    PGSTOW_PG_BIN: server.binDir,
  }
  const { exitCode, stderr } = await runPgstow(["backup"], env)
  expect(exitCode, stderr).toBe(0)
  expect(await readdir(`${folder}/older`)).toEqual([database])
  expect(await readdir(folder)).toEqual(["older"])
  const warnings = stderr.split("\n").filter((line) => line.includes("use that name instead"))
  const noted = warnings.map((line) => /([A-Z_]+) is read as ([A-Z_]+)/.exec(line)?.slice(1).join(" "))
  expect(noted).toHaveLength(7)
  expect(noted).toEqual(
    expect.arrayContaining([
      "BACKUP_DIR PGSTOW_STORAGE",
      "LOG_TO_FILE LOG_FILE",
      "POSTGRES_DB PGDATABASE",
      "POSTGRES_HOST PGHOST",
      "POSTGRES_PASSWORD PGPASSWORD",
      "POSTGRES_PORT PGPORT",
      "POSTGRES_USER PGUSER",
    ]),
  )
  expect(stderr).not.toContain(server.env.PGPASSWORD)
})

test("the environment of Emiti does too, and its retention cleans up", async () => {
  const { server, database, folder, recipient } = await setScene()
  const env = {
    DATABASE_URL: server.url(database),
    ENCRYPTION_KEY: "any text",
    BACKUP_DIR: `${folder}/older`,
    BACKUP_RETENTION: "30",
    PGSTOW_RECIPIENTS: recipient,
    PGSTOW_PG_BIN: server.binDir,
  }
  expect((await runPgstow(["backup"], env)).exitCode).toBe(0)
  const { exitCode, stdout } = await runPgstow(["cleanup", "--dry-run"], env)
  expect(exitCode).toBe(0)
  expect(stdout).toContain("30 days")
})
