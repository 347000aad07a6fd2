import { readdir, readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { settingsSchema } from "../../task/config/settings-schema.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { runPgstow } from "../support/pgstow.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { runOnTerminal } from "../support/terminal.ts"

/** Somebody with a database, who has nothing of pgstow's yet. */
async function setInitScene(): Promise<Scene> {
  const scene = await setScene()
  await scene.server.psql("CREATE TABLE t AS SELECT 1 AS one", scene.database)
  const env = {
    ORDERS_URL: scene.server.url(scene.database),
    PGSTOW_PG_BIN: scene.server.binDir,
    TMPDIR: scene.folder,
  }
  return { ...scene, env, run: (args, more) => runPgstow(args, { ...env, ...more }, { cwd: scene.folder }) }
}

const questions = ["1. Where is", "2. Where are", "3. At what time", "4. What is kept"]
const filesIn = async (folder: string) =>
  (await readdir(folder)).filter((name) => /pgstow\.(config|key)/.test(name)).sort()

describe("init", () => {
  test("asks four questions, writes settings and a key that work, and prints what schedules them", async () => {
    const scene = await setInitScene()
    const { folder } = scene
    await writeFile(
      join(folder, ".env"),
      `ORDERS_URL=${scene.server.url(scene.database)}\nPGSTOW_PG_BIN=${scene.server.binDir}\n`,
      { mode: 0o600 },
    )
    const answers = ["ORDERS_URL", `file://${folder}/backups`, "", "3 daily, last 2"]
    const { screen } = await runOnTerminal(
      scene,
      ["init"],
      {},
      {
        typed: questions.map((after, index) => ({ after, keys: `${answers[index]}\r` })),
      },
    )
    expect(screen).not.toContain("error:")
    expect(await filesIn(folder)).toEqual(["pgstow.config.json", "pgstow.key"])
    expect((await stat(join(folder, "pgstow.key"))).mode & 0o777).toBe(0o600)
    const settings = settingsSchema.parse(
      JSON.parse(await readFile(join(folder, "pgstow.config.json"), "utf8")),
    )
    expect(settings).toMatchObject({
      storages: [`file://${folder}/backups`],
      retention: { keepDaily: 3, keepLast: 2 },
      cleanup: true,
      databases: [
        { name: scene.database, connection: { urlEnv: "ORDERS_URL" }, schedule: "cron(0 3 * * ? *)" },
      ],
    })
    // Doctor has looked at it.
    expect(screen).toMatch(/1 warning in \d.* s\r?\n/)

    expect((await scene.run(["backup", "--config", "pgstow.config.json"])).exitCode).toBe(0)
    const verified = await scene.run([
      "verify",
      "--deep",
      "--config",
      "pgstow.config.json",
      "--identity",
      "pgstow.key",
    ])
    expect(verified.exitCode, verified.stderr).toBe(0)
    const [, line = ""] = /^ {2}(?:sudo )?pgstow (schedule --config .*) --install\r?$/m.exec(screen) ?? []
    const scheduled = await scene.run(line.split(" "))
    expect(scheduled.exitCode, scheduled.stderr).toBe(0)
    expect(scheduled.stdout).toContain(`backup --config=${folder}/pgstow.config.json\n`)
    expect(scheduled.stdout).toContain("OnCalendar=*-*-* 03:00:00\n")
    expect(scheduled.stdout).toContain(`ReadWritePaths=${folder}/backups\n`)
  })

  test.each([
    ...questions.map((_, index) => ["Ctrl-C", index + 1, "\u0003", 130, "stopped by SIGINT"] as const),
    ...[1, 3].map(
      (number) =>
        ["Ctrl-D", number, "\u0004", 10, "the input ended before all questions were answered"] as const,
    ),
  ])("leaves nothing after %s at question %i", async (_, number, key, code, words) => {
    const scene = await setInitScene()
    const typed = questions.slice(0, number).map((after, index) => ({
      after,
      keys: index + 1 === number ? key : index === 0 ? "ORDERS_URL\r" : "\r",
    }))
    const { exitCode, screen } = await runOnTerminal(scene, ["init"], {}, { typed })
    expect(screen).toContain(words)
    expect(exitCode).toBe(code)
    expect(await filesIn(scene.folder)).toEqual([])
  })

  test("asks again after an answer that can't be used, and gives up after three", async () => {
    const scene = await setInitScene()
    const typed = ["postgresql://app:hunter2@db/orders", "NOT_SET", "mysql://db/orders"].map((answer) => ({
      after: "1. Where is",
      keys: `${answer}\r`,
    }))
    const { exitCode, screen } = await runOnTerminal(scene, ["init"], {}, { typed })
    expect(exitCode).toBe(2)
    expect(screen).toContain("the URL holds a password")
    expect(screen).toContain("NOT_SET is not set")
    expect(screen).toContain("error: the database URL begins with mysql://")
    expect(await filesIn(scene.folder)).toEqual([])
  })

  const flags = ["init", "--from", "ORDERS_URL", "--storage", "./backups", "--at", "2:05", "--keep", "all"]

  test("takes flags in place of answers where there is no terminal, and seals for a key that is there", async () => {
    const scene = await setInitScene()
    const { exitCode, stdout, stderr } = await scene.run([
      ...flags,
      "--recipient",
      scene.recipient,
      "--name",
      "shop",
      "--json",
    ])
    expect(exitCode, `${stdout}${stderr}`).toBe(0)
    expect(await filesIn(scene.folder)).toEqual(["pgstow.config.json"])
    const text = await readFile(join(scene.folder, "pgstow.config.json"), "utf8")
    expect(JSON.parse(text)).toEqual({
      storages: [`${scene.folder}/backups`],
      recipients: [scene.recipient],
      databases: [{ name: "shop", connection: { urlEnv: "ORDERS_URL" }, schedule: "cron(5 2 * * ? *)" }],
    })
  })

  test("says which variables will be used in place of the answers, and how npx runs it again", async () => {
    const scene = await setInitScene()
    const env = {
      PGSTOW_STORAGE: `file://${scene.folder}/elsewhere`,
      PGSTOW_KEEP_LAST: "3",
      PGSTOW_JOBS: "2",
      npm_command: "exec",
    }
    const answered = await scene.run([...flags, "--recipient", scene.recipient], env)
    expect(answered.stderr).toMatch(/environment has PGSTOW_STORAGE, PGSTOW_KEEP_LAST, which/)
    expect(answered.stdout).toContain("  npx pgstow backup --config ")
    const same = await scene.run([...flags, "--recipient", scene.recipient, "--out", "same.json"], {
      PGSTOW_STORAGE: "./backups",
    })
    expect(same.exitCode, same.stderr).toBe(0)
    expect(same.stderr).not.toContain("environment has")
    expect(same.stdout).toContain("  pgstow backup --config ")
  })

  test("says which variables of this shell a run at night needs in .env, unless they are there", async () => {
    const scene = await setInitScene()
    const used = { PGPASSWORD: "hunter2", AWS_PROFILE: "" }
    const asked = await scene.run([...flags, "--recipient", scene.recipient], used)
    const dotEnv = join(scene.folder, ".env")
    expect(asked.stdout).toContain(
      `Every day, once ORDERS_URL=…, PGPASSWORD=…, PGSTOW_PG_BIN=… are in ${dotEnv}, readable by you alone:`,
    )
    expect(asked.stdout).toContain(` --settings ${dotEnv} --install`)
    await writeFile(dotEnv, "ORDERS_URL=x\nPGSTOW_PG_BIN=/x\n", { mode: 0o600 })
    const again = await scene.run([...flags, "--recipient", scene.recipient, "--out", "again.json"], used)
    expect(again.stdout).toContain(`Every day, once PGPASSWORD=… is in ${dotEnv}, readable by you alone:`)
    expect(`${asked.stdout}${asked.stderr}${again.stdout}${again.stderr}`).not.toContain("hunter2")
  })

  test("takes no URL that names no database, and writes nothing", async () => {
    const scene = await setInitScene()
    const failure = failureOfRun(await scene.run(flags, { ORDERS_URL: scene.server.url("") }))
    expect(failure.message).toMatch(/names no database$/)
    expect(await filesIn(scene.folder)).toEqual([])
  })

  test("makes no key and writes nothing where the settings could not be read again", async () => {
    const scene = await setInitScene()
    const failure = failureOfRun(await scene.run([...flags, "--name", "an odd name"]))
    expect(failure.message).toBe(
      "--name (PGSTOW_NAME) must be up to 40 letters, digits, _ and -, the first no sign",
    )
    expect(await filesIn(scene.folder)).toEqual([])
  })

  test("says what doctor found by its exit code, and keeps what it wrote", async () => {
    const scene = await setInitScene()
    const { exitCode, stderr } = await scene.run(flags, { ORDERS_URL: "postgresql://app@127.0.0.1:1/orders" })
    expect(exitCode).toBe(3)
    expect(stderr).toContain("pgstow.config.json is written, and no backup can be made by it yet")
    expect(await filesIn(scene.folder)).toEqual(["pgstow.config.json", "pgstow.key"])
  })

  test("is refused without a terminal and without answers, and never writes over a file", async () => {
    const scene = await setInitScene()
    expect(failureOfRun(await scene.run(["init", "--from", "ORDERS_URL"]))).toMatchObject({
      message: "init asks questions, and there is no terminal",
      hint: "Run it on a terminal, or answer by --storage, --at, --keep.",
    })
    await writeFile(join(scene.folder, "pgstow.key"), "mine")
    expect(failureOfRun(await scene.run(flags)).message).toBe("pgstow.key exists already")
    await writeFile(join(scene.folder, "pgstow.config.json"), "mine")
    expect(failureOfRun(await scene.run(flags)).message).toBe("pgstow.config.json exists already")
    expect(await readFile(join(scene.folder, "pgstow.config.json"), "utf8")).toBe("mine")
    const away = await scene.run([...flags, "--out", "missing/a.json", "--key", "new.key"])
    expect(failureOfRun(away).message).toMatch(/missing\/a\.json can't be written/)
    // Nor is a key left that no settings seal for.
    expect((await readdir(scene.folder)).includes("new.key")).toBe(false)
  })

  test.each([
    [["--at", "25:00"], '"25:00" is not a time of day'],
    [["--keep", "7 sometimes"], '"7 sometimes" is no rule of what to keep'],
    [["--keep", "0 daily"], "what to keep must be a whole number from 1 to 100000"],
    [["--keep", "7 daily, 3 daily"], '"daily" is said twice'],
    [["--from", "postgresql://app:hunter2@db/orders"], "the URL holds a password"],
    [["--from", "./missing.url"], "can't be read"],
  ])("refuses %j, and writes nothing", async (wrong, message) => {
    const scene = await setInitScene()
    const failure = failureOfRun(await scene.run([...flags, ...wrong]))
    expect(failure.message).toContain(message)
    expect(JSON.stringify(failure)).not.toContain("hunter2")
    expect(await filesIn(scene.folder)).toEqual([])
  })
})
