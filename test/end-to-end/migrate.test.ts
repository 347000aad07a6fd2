import { readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { expect, test } from "vitest"
import { runPgstow } from "../support/pgstow.ts"
import { setScene } from "../support/scene.ts"

test("an environment file of Emiti's becomes one that pgstow backs up with", async () => {
  const { server, database, folder, recipient } = await setScene()
  const older = join(folder, "emiti.env")
  await writeFile(
    older,
    `DATABASE_URL=${server.url(database)}\nENCRYPTION_KEY=k\nBACKUP_DIR=${folder}/older\n`,
  )
  const { exitCode, stdout } = await runPgstow(["migrate", older, "--write", ".env"], {}, { cwd: folder })
  expect(exitCode).toBe(0)
  expect(stdout).toContain("What will differ:")
  expect(stdout).not.toContain(server.env.PGPASSWORD)

  expect((await stat(join(folder, ".env"))).mode & 0o777).toBe(0o600)
  expect(await readFile(join(folder, ".env"), "utf8")).toContain("PGSTOW_KEEP_DAYS=30")
  const settings = { PGSTOW_RECIPIENTS: recipient, PGSTOW_PG_BIN: server.binDir }
  expect((await runPgstow(["backup"], settings, { cwd: folder })).exitCode).toBe(0)

  const again = await runPgstow(["migrate", older, "--write", ".env"], {}, { cwd: folder })
  expect(again.exitCode).toBe(2)
  expect(again.stderr).toContain(".env can't be written")
})

test("--json has everything but the secrets", async () => {
  const { folder } = await setScene()
  await writeFile(join(folder, "sentinel"), "POSTGRES_DB=x\nPOSTGRES_PASSWORD=s3cret\nCOLOUR=red\n")
  const { stdout } = await runPgstow(["migrate", "sentinel", "--json"], {}, { cwd: folder })
  expect(JSON.parse(stdout)).toMatchObject({
    system: "Sentinel",
    problems: [expect.stringContaining("PGSTOW_RECIPIENTS is missing"), "COLOUR is not known, and left out."],
    written: null,
  })
  expect(stdout).toContain('"PGPASSWORD"')
  expect(stdout).not.toContain("s3cret")
})
