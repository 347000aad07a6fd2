import { readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { expect, test } from "vitest"
import { failureOfRun, logOf } from "../support/failure-line.ts"
import { setScene } from "../support/scene.ts"
import { runOnTerminal } from "../support/terminal.ts"

test("verify --all and verify of several say of each as it is done how it is, and exit with the worst", async () => {
  const scene = await setScene()
  const ids: string[] = []
  for (const _ of [1, 2, 3]) ids.push(String(Object(await scene.json(["backup", "--no-verify"])).id))
  const [damaged = "", good = "", unread = ""] = ids
  const folder = (id: string) => join(scene.folder, "backups", scene.database, id)
  const main = (await readdir(folder(damaged))).find((name) => name.startsWith("main."))
  await writeFile(join(folder(damaged), main ?? ""), "cut")

  const two = await scene.run(["verify", good, unread])
  expect(two.exitCode, two.stderr).toBe(0)
  expect(two.stdout).toMatch(new RegExp(`verified: ${unread} .*\n.*verified: ${good} .*\n2 of 2 backups`))

  await writeFile(join(folder(unread), "manifest.json"), "{")
  const all = await scene.run(["verify", "--all", "--database", scene.database])
  expect(all.exitCode).toBe(6)
  expect(all.stdout).toMatch(new RegExp(`^verified: ${good} .*\nfailed: ${damaged} .*\n.*\n1 of 3 backups`))
  const errors = logOf(all.stderr).filter(({ level }) => level === "error")
  expect(errors.map(({ message }) => message)).toEqual([
    expect.stringContaining("manifest.json can't be read"),
    expect.stringContaining(`damaged: ${damaged}`),
    "2 of 3 backups could not be verified as good",
  ])
  const { screen } = await runOnTerminal(scene, ["verify", damaged, good])
  expect(screen).toMatch(/\nUse another backup\.\n/)

  for (const args of [
    ["--all", good],
    ["--all", "--at", "2026-01-01T00:00Z"],
    [good, "./some.sql.gz"],
  ])
    expect(failureOfRun(await scene.run(["verify", ...args])).kind).toBe("usage")
  expect(failureOfRun(await scene.run(["verify", good, "19990101T"])).kind).toBe("notFound")
})

test("backup --all says of each database as it is done how it went, with what to do", async () => {
  const scene = await setScene()
  const closed = await scene.server.createDatabase(`${scene.database}_closed`)
  await scene.server.psql(`ALTER DATABASE ${closed} ALLOW_CONNECTIONS false`)
  const args = ["backup", "--all", "--include", `${scene.database}*`]
  const { exitCode, screen } = await runOnTerminal(scene, args)
  await scene.server.psql(`DROP DATABASE ${closed}`)
  expect(exitCode).toBe(3)
  const lines = screen.split("\n").map((line) => line.replace(/^.*\r/, ""))
  const at = (pattern: RegExp) => lines.findIndex((line) => pattern.test(line))
  const good = at(new RegExp(`-\\w{8} of ${scene.database}: .* stored of`))
  const bad = at(new RegExp(`${closed} was not backed up: .*not currently accepting connections`))
  expect(good).toBeGreaterThan(-1)
  expect(bad).toBeGreaterThan(good)
  expect(lines[bad + 1]).toMatch(/^[A-Z].*\.$/)
  expect(at(/^backed up 1 of 2 databases$/)).toBeGreaterThan(bad)
})

test("remove asks on a terminal, and needs --yes elsewhere", async () => {
  const scene = await setScene()
  const older = String(Object(await scene.json(["backup"])).id)
  const newer = String(Object(await scene.json(["backup"])).id)
  const unasked = failureOfRun(await scene.run(["remove", older]))
  expect(unasked.kind).toBe("notConfirmed")
  expect(unasked.message).toContain(`${older} of ${scene.database}`)
  const refused = failureOfRun(await scene.run(["remove", newer, "--yes"]))
  expect(refused).toMatchObject({ kind: "usage", hint: expect.stringContaining("--force") as string })
  expect(await scene.json(["remove", older, "--yes"])).toMatchObject({
    id: older,
    storages: [{ storage: scene.storage, error: null }],
  })
  expect(await scene.json(["list"])).toMatchObject({ backups: [{ id: newer }] })
})

test("list and status of one database take its name as their argument and by --database", async () => {
  const scene = await setScene()
  for (const name of ["orders", "invoices"]) await scene.json(["backup", "--name", name])
  for (const command of ["list", "status"]) {
    const { exitCode, stdout, stderr } = await scene.run([command, "--database", "orders"])
    expect(exitCode, stderr).toBe(0)
    expect(stdout).toContain("orders")
    expect(stdout).not.toContain("invoices")
    const both = await scene.run([command, "orders", "--database", "orders"])
    expect(both.exitCode, both.stderr).toBe(0)
    expect(both.stdout).not.toContain("invoices")
  }
})
