import { execFile } from "node:child_process"
import { readFile, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import { expect, inject, onTestFinished, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { startS3Endpoint } from "../support/s3-endpoint.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { setScene } from "../support/scene.ts"

const root = resolve(import.meta.dirname, "../..")

/** The shell commands of a section of a page, block by block. */
async function commandsUnder(heading: string, page = "README.md"): Promise<string[]> {
  const readme = await readFile(join(root, page), "utf8")
  const start = readme.indexOf(`## ${heading}\n`)
  if (start === -1) throw new Error(`${page} has no section ${heading}`)
  const section = readme.slice(start, readme.indexOf("\n## ", start + 1))
  return [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, commands]) => commands ?? "")
}

/** The settings that the README has a reader put into a file. */
async function settingsFile(): Promise<string> {
  const readme = await readFile(join(root, "README.md"), "utf8")
  const [, settings = ""] = /```ini\n([\s\S]*?)```/.exec(readme) ?? []
  return settings
}

test("what the README says of a first backup and its restore works, line by line", async () => {
  const { server, database, folder } = await setScene()
  await fillSampleDatabase(server, database, { megabytes: 2 })
  const s3 = await startS3Endpoint({ buckets: ["my-bucket"] })
  onTestFinished(() => s3.close())

  // What a reader puts in place of the examples. Each must be there, so that the README can't drift away.
  let recipient = "age1…"
  const readersOwn = (commands: string) => {
    const replacements: [string | RegExp, string][] = [
      ["npx pgstow", `${process.execPath} ${inject("program")}`],
      [/postgresql:\/\/app:secret@db\.example\.com\/orders/, server.url(database)],
      [/postgresql:\/\/admin:secret@new-db\.example\.com\/postgres/, server.url("postgres")],
      ["file:///var/backups/pgstow", `file://${folder}/backups`],
      ["/etc/pgstow.env", `${folder}/pgstow.env`],
      ["age1…", recipient],
      [/(s3:\/\/my-bucket\/pgstow)(\?[^']*)?'/, `$1?endpoint=${s3.url}'`],
      ["orders_restored", `${database}_restored`],
    ]
    return replacements.reduce((text, [from, to]) => text.replaceAll(new RegExp(from, "g"), to), commands)
  }
  const env = {
    HOME: folder,
    PGSTOW_PG_BIN: server.binDir,
    PATH: `${process.env.PATH}:${server.binDir}`,
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
  }
  const run = async (commands: string) =>
    promisify(execFile)("bash", ["-euc", readersOwn(commands)], { cwd: folder, env })

  const [toDirectory = "", toS3 = "", everyDay = ""] = await commandsUnder("Back up your own database")
  for (const block of [toDirectory, toS3]) expect(block.trim().split("\n").length).toBeLessThan(5)
  const [keygen = "", ...backup] = toDirectory.split("\n")
  recipient = (await run(keygen)).stdout.trim()
  expect(recipient).toMatch(/^age1/)
  await run(backup.join("\n"))
  await run(toS3)

  await writeFile(`${folder}/pgstow.env`, readersOwn(await settingsFile()), { mode: 0o600 })
  // What installs changes the machine: here it prints the units that it would install.
  const [install = "", status = ""] = everyDay.trim().split("\n")
  expect(install).toMatch(/^sudo .* --install$/)
  const printed = await run(install.replace("sudo ", "").replace(" --install", ""))
  expect(printed.stdout).toContain("OnCalendar=")
  expect((await run(status)).stdout).toContain("ok")

  const [getItBack = ""] = await commandsUnder("Get it back")
  const { stdout } = await run(getItBack)
  expect(stdout.match(/ verified/g)?.length).toBeGreaterThanOrEqual(2)
  const restored = { server, name: `${database}_restored` }
  expect(await compareDatabases({ server, name: database }, restored)).toEqual([])

  const [roles = ""] = await commandsUnder("Roles", "task/README.md")
  const role = `reader_${database}`
  await server.psql(`CREATE ROLE ${role}`)
  await run(backup.join("\n"))
  await server.psql(`DROP ROLE ${role}`)
  await run(
    `export DATABASE_URL='${server.url("postgres")}' PGSTOW_STORAGE='file://${folder}/backups'; ${roles}`,
  )
  expect(await server.psql(`SELECT count(*) FROM pg_roles WHERE rolname = '${role}'`)).toBe("1")
  await server.psql(`DROP ROLE ${role}`)
})
