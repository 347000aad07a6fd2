import { chmod, mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import * as z from "zod"
import { failureOfRun, logOf } from "../support/failure-line.ts"
import { runPgstow } from "../support/pgstow.ts"
import { type Scene, setScene } from "../support/scene.ts"

/** A scene with a second database, and a file of settings for both; the environment has the URLs, and no settings of pgstow's. */
async function setConfigScene(): Promise<
  Scene & {
    readonly second: string
    readonly write: (config: unknown) => Promise<string>
    readonly databases: readonly object[]
    readonly top: object
  }
> {
  const scene = await setScene()
  const second = await scene.server.createDatabase()
  await scene.server.psql("CREATE TABLE t AS SELECT 1 AS one", scene.database)
  await scene.server.psql("CREATE TABLE t AS SELECT 2 AS two", second)
  const env = {
    ORDERS_URL: scene.server.url(scene.database),
    SALES_URL: scene.server.url(second),
    PGSTOW_PG_BIN: scene.server.binDir,
    TMPDIR: scene.folder,
  }
  await writeFile(join(scene.folder, "key.txt"), `${scene.identity}\n`, { mode: 0o600 })
  const file = join(scene.folder, "pgstow.config.json")
  const run: Scene["run"] = (args, more) => runPgstow(args, { ...env, ...more }, { cwd: scene.folder })
  return {
    ...scene,
    env,
    second,
    run,
    json: async (args, more) => {
      const { exitCode, stdout, stderr } = await run([...args, "--json"], more)
      if (exitCode !== 0) throw new Error(`pgstow ${args.join(" ")} exited with ${exitCode}: ${stderr}`)
      const answer: unknown = JSON.parse(stdout)
      return answer
    },
    databases: [
      { name: "orders", connection: { urlEnv: "ORDERS_URL" } },
      { name: "sales", connection: { urlEnv: "SALES_URL" }, storages: ["./elsewhere"], jobs: 1 },
    ],
    top: { storages: ["./backups"], recipients: [scene.recipient], identity: { file: "key.txt" } },
    write: async (config) => {
      await writeFile(file, typeof config === "string" ? config : JSON.stringify(config, null, 2))
      return file
    },
  }
}

const ofEach = z.object({
  databases: z.array(
    z.object({
      database: z.string(),
      result: z.unknown(),
      error: z.object({ kind: z.string(), message: z.string(), hint: z.string().nullable() }).nullable(),
    }),
  ),
})

describe("a file of settings", () => {
  test("backs up all of its databases or those that are named, each into its own storages, and gives them back", async () => {
    const scene = await setConfigScene()
    const file = await scene.write({ databases: scene.databases, ...scene.top })
    const all = ofEach.parse(await scene.json(["backup", "--config", file]))
    expect(all.databases.map(({ database, error }) => [database, error])).toEqual([
      ["orders", null],
      ["sales", null],
    ])
    // By the variable, and from another folder: what is relative is so to the file.
    const away = await runPgstow(["backup", "sales", "--json"], { ...scene.env, PGSTOW_CONFIG: file })
    expect(ofEach.parse(JSON.parse(away.stdout)).databases.map(({ database }) => database)).toEqual(["sales"])

    const listed = ofEach.parse(await scene.json(["list", "--config", file]))
    expect(
      listed.databases.map(({ result }) =>
        z
          .object({ backups: z.array(z.object({ database: z.string() })) })
          .parse(result)
          .backups.map(({ database }) => database),
      ),
    ).toEqual([["orders"], ["sales", "sales"]])
    for (const args of [["status"], ["verify", "--deep"], ["cleanup", "--keep-last", "1"]])
      expect(ofEach.parse(await scene.json([...args, "--config", file])).databases).toHaveLength(2)

    await scene.json([
      "restore",
      "latest",
      "--config",
      file,
      "--database",
      "sales",
      "--into",
      `${scene.second}_back`,
      "--yes",
    ])
    expect(await scene.server.psql("SELECT two FROM t", `${scene.second}_back`)).toBe("2")
    const { stdout } = await scene.run(["list", "--config", file])
    expect(stdout).toMatch(/^orders:\nID .*\n\nsales:\nID /s)
  })

  test("of which one database fails backs up the others, and ends with its exit code", async () => {
    const scene = await setConfigScene()
    const [orders, sales] = scene.databases
    const gone = { name: "gone", connection: { urlEnv: "GONE_URL" } }
    const unset = { name: "unset", connection: { urlEnv: "UNSET_URL" } }
    const file = await scene.write({ databases: [gone, orders, unset, sales], ...scene.top })
    const env = { GONE_URL: "postgresql://127.0.0.1:1/gone" }
    const { exitCode, stdout, stderr } = await scene.run(["backup", "--config", file, "--json"], env)
    expect(exitCode).toBe(3)
    const { databases } = ofEach.parse(JSON.parse(stdout))
    expect(databases.map(({ database, error }) => [database, error?.kind])).toEqual([
      ["gone", "postgres"],
      ["orders", undefined],
      ["unset", "usage"],
      ["sales", undefined],
    ])
    const errors = logOf(stderr).filter(({ level }) => level === "error")
    expect(errors.map(({ message }) => message.replace(/^gone: .*/s, "gone"))).toEqual([
      "gone",
      `unset: UNSET_URL is not set, and is the connection of unset in ${file}`,
      "2 of 4 databases failed: gone, unset",
    ])
  })

  test("goes behind flags and the environment, but not where these can't tell one database from another", async () => {
    const scene = await setConfigScene()
    const file = await scene.write({ databases: scene.databases, ...scene.top })
    const env = {
      PGSTOW_STORAGE: `file://${scene.folder}/by-env`,
      DATABASE_URL: "postgresql://127.0.0.1:1/none",
    }
    const { exitCode, stderr } = await scene.run(["backup", "--config", file], env)
    expect(exitCode, stderr).toBe(0)
    const said = logOf(stderr).map(({ message }) => message)
    expect(said).toContain(`PGSTOW_STORAGE of the environment: used in place of what ${file} says`)
    expect(said).toContain(`DATABASE_URL of the environment: not used, since ${file} says it`)
    const [, sales] = scene.databases
    const ordersByIt = { name: "orders", connection: { urlEnv: "DATABASE_URL" } }
    await scene.write({ databases: [ordersByIt, sales], ...scene.top })
    expect((await scene.run(["list", "--config", file], env)).stderr).not.toContain("not used")
    await scene.write({ databases: scene.databases, ...scene.top })
    const kept = async (args: string[]) => (await scene.run(["list", "--config", file, ...args], env)).stdout
    expect(await kept([])).toContain("orders:")
    const flagged = await scene.run(["backup", "orders", "--config", file, "--storage", "./by-flag"], env)
    expect(flagged.exitCode, flagged.stderr).toBe(0)
    expect((await scene.run(["list", "orders", "--storage", "./by-flag"])).exitCode).toBe(0)
  })

  test("cleans up each database by its own retention, and only databases of its own", async () => {
    const scene = await setConfigScene()
    const server = {
      name: "server",
      all: true,
      exclude: ["orders", "sales", "other"],
      connection: { urlEnv: "ORDERS_URL" },
      retention: { keepLast: 1 },
    }
    const [orders] = scene.databases
    const file = await scene.write({
      databases: [{ ...orders, retention: { keepLast: 2 } }, server],
      ...scene.top,
    })
    for (let made = 0; made < 3; made++) {
      await scene.json(["backup", "orders", "--config", file])
      const plain = { DATABASE_URL: scene.server.url(scene.second), PGSTOW_RECIPIENTS: scene.recipient }
      for (const name of ["other", "shop"])
        await scene.json(["backup", "--storage", "./backups", "--name", name], plain)
    }
    const cleaned = ofEach.parse(await scene.json(["cleanup", "--config", file]))
    expect(cleaned.databases.map(({ database }) => database)).toEqual(["orders", "shop"])
    const left = z
      .object({ backups: z.array(z.object({ database: z.string() })) })
      .parse(await scene.json(["list", "--storage", "./backups"]))
    const names = left.backups.map(({ database }) => database)
    expect(names.toSorted()).toEqual(["orders", "orders", "other", "other", "other", "shop"])
  })

  test("backs up the database that a connection names, and no other", async () => {
    const scene = await setConfigScene()
    const file = await scene.write({
      databases: [{ name: "orders", connection: { urlEnv: "NO_NAME_URL" } }, scene.databases[1]],
      ...scene.top,
    })
    const env = { NO_NAME_URL: scene.server.url(""), PGDATABASE: scene.second }
    const { exitCode, stdout, stderr } = await scene.run(["backup", "--config", file, "--json"], env)
    expect(exitCode).toBe(2)
    const [first, second] = ofEach.parse(JSON.parse(stdout)).databases
    expect(first?.error?.message).toBe(`orders: the connection of orders in ${file} names no database`)
    expect(second?.error).toBeNull()
    expect(logOf(stderr).map(({ message }) => message)).toContain(
      `PGDATABASE of the environment: not used, since ${file} says it`,
    )
  })

  test("exits with the code of an error that doctor finds, also behind warnings of another database", async () => {
    const scene = await setConfigScene()
    const gone = { name: "gone", connection: { urlEnv: "GONE_URL" } }
    const file = await scene.write({ databases: [scene.databases[0], gone], ...scene.top })
    const env = { GONE_URL: "postgresql://postgres@127.0.0.1:1/gone" }
    const { exitCode, stdout } = await scene.run(["doctor", "--config", file, "--json"], env)
    const { databases } = ofEach.parse(JSON.parse(stdout))
    expect(databases.map(({ error }) => error?.kind)).toEqual(["warnings", "postgres"])
    expect(exitCode).toBe(3)
  })

  test("judges nobody else's backups by a server that nothing is stored of yet", async () => {
    const scene = await setConfigScene()
    const [orders] = scene.databases
    const server = {
      name: "server",
      all: true,
      exclude: ["orders"],
      connection: { urlEnv: "ORDERS_URL" },
      retention: { keepLast: 1 },
    }
    const file = await scene.write({
      databases: [{ ...orders, retention: { keepLast: 2 } }, server],
      ...scene.top,
    })
    for (let made = 0; made < 2; made++) await scene.json(["backup", "orders", "--config", file])
    const cleaned = ofEach.parse(await scene.json(["cleanup", "--config", file]))
    expect(cleaned.databases.map(({ database }) => database)).toEqual(["orders"])
    const left = z
      .object({ backups: z.array(z.unknown()) })
      .parse(await scene.json(["list", "--storage", "./backups"]))
    expect(left.backups).toHaveLength(2)

    const status = await scene.run(["status", "--config", file, "--json"])
    expect(status.exitCode).toBe(8)
    const [first, second] = ofEach.parse(JSON.parse(status.stdout)).databases
    expect([first?.error, second?.database, second?.result]).toEqual([null, "server", null])
    expect(second?.error?.message).toBe("server: there is no backup of any database of this server")
  })

  test("looks at the other databases where a server's storage does not answer", async () => {
    const scene = await setConfigScene()
    const [orders] = scene.databases
    const server = {
      name: "server",
      all: true,
      exclude: ["orders"],
      connection: { urlEnv: "ORDERS_URL" },
      storages: ["s3://backups?region=eu-central-1&endpoint=http://127.0.0.1:9"],
    }
    const file = await scene.write({ databases: [server, orders], ...scene.top })
    await scene.json(["backup", "orders", "--config", file])
    const keys = { AWS_ACCESS_KEY_ID: "id", AWS_SECRET_ACCESS_KEY: "key" }
    const listed = await scene.run(["list", "--config", file, "--json"], keys)
    expect(listed.exitCode).toBe(4)
    const [first, second] = ofEach.parse(JSON.parse(listed.stdout)).databases
    expect(first?.error?.kind).toBe("storage")
    expect([second?.database, second?.error]).toEqual(["orders", null])
  })

  test("of the stack's is understood as far as it applies, and says what does not", async () => {
    const scene = await setConfigScene()
    const urlFile = join(scene.folder, "url")
    await writeFile(urlFile, `${scene.server.url(scene.database)}\n`)
    await chmod(urlFile, 0o600)
    const file = await scene.write({
      $schema: "./pgstow.config.schema.json",
      stackName: "Shop",
      databases: [{ name: "orders", connection: { urlFile: "url" }, size: { cpu: 1024, memoryMiB: 2048 } }],
      notifications: { emails: ["ops@example.com"] },
      ...scene.top,
    })
    const { exitCode, stderr } = await scene.run(["backup", "--config", file])
    expect(exitCode, stderr).toBe(0)
    expect(logOf(stderr).map(({ message }) => message)).toContain(
      `${file}: stackName, notifications.emails, databases[0].size is for the stack on AWS, and means nothing here`,
    )
  })

  test("tells of each database whom it names for that", async () => {
    const scene = await setConfigScene()
    const [orders, sales] = scene.databases
    const notifications = { webhooks: [{ urlEnv: "HOOK", level: "all" }] }
    const file = await scene.write({ databases: [{ ...orders, notifications }, sales], ...scene.top })
    const { stderr } = await scene.run(["backup", "--config", file])
    const warned = logOf(stderr).filter(({ level }) => level === "warn")
    expect(warned.map(({ message }) => message)).toEqual([
      `a webhook of ${file} is left out: HOOK is not set`,
    ])
    const { exitCode, stderr: second } = await scene.run(["backup", "--config", file], { HOOK: "no url" })
    expect(exitCode, second).toBe(0)
    expect(second).toContain("HOOK is not an http URL")
    expect(second).not.toContain("no url")
  })
})

describe("a file of settings that can't be used", () => {
  const orders = { name: "orders", connection: { urlEnv: "ORDERS_URL" } }
  test.each([
    [
      "with an unknown setting",
      { databases: [{ ...orders, storage: ["./backups"] }] },
      'databases[0]: knows no "storage": is "storages" meant?',
      '"storages": ["file:///var/backups/pgstow"]',
    ],
    [
      "with an unknown connection",
      { databases: [{ name: "orders", connection: { environment: "ORDERS_URL" } }] },
      'databases[0].connection: must be { "urlEnv": … }',
      '"connection": { "urlEnv": "ORDERS_URL" }',
    ],
    [
      "with a password in it",
      { databases: [{ name: "orders", connection: { url: "postgresql://app:hunter2@db/orders" } }] },
      "databases[0].connection.url: holds a password, which does not belong into this file",
      '"connection": { "urlEnv": "ORDERS_URL" }',
    ],
    [
      "with a URL in place of a variable's name",
      { databases: [{ name: "orders", connection: { urlEnv: "postgresql://app:hunter2@db/orders" } }] },
      "databases[0].connection.urlEnv: must be the name of an environment variable, never its value",
      '"connection": { "urlEnv": "ORDERS_URL" }',
    ],
    [
      "with two databases of one name",
      { databases: [orders, { ...orders, connection: { service: "orders" } }] },
      'databases[1].name: is "orders", as databases[0].name: each database needs its own',
      '"name": "orders"',
    ],
    [
      "with a recipient of an unknown kind",
      {
        databases: [orders],
        recipients: ["age1yubikey1q0000000000000000000000000000000000000000000000000000000000"],
      },
      "recipients[0]: age1yubikey1q000…",
      '"recipients": ["age1…"]',
    ],
    [
      "with a storage of an unknown kind",
      { databases: [orders], storages: ["ftp://backup.example.com/"] },
      "storages[0]: must be s3://bucket/prefix, file:///folder, or a path",
      '"storages": ["file:///var/backups/pgstow"',
    ],
    [
      "without a database",
      { storages: ["./backups"] },
      "names no database",
      '"databases": [{ "name": "orders"',
    ],
    [
      "cut off",
      '{\n  "databases": [\n    { "name": "orders"',
      "is not JSON: a } is missing, line 3, column 23",
      "Correct what stands there",
    ],
    [
      "with a comma too many",
      '{\n  "storages": ["./backups"],\n}',
      "is not JSON: the name of a setting is missing, line 3, column 1",
      "no comma after the last one",
    ],
    [
      "with a comment",
      '{\n  // here\n  "storages": []\n}',
      "is not JSON: a comment, line 2, column 3",
      "no comments",
    ],
    ["in UTF-16", '\uFFFD\uFFFD{\0"\0', "is not JSON in UTF-8", "Save it as UTF-8"],
    [
      "with a list of databases too many",
      '{\n  "databases": [{ "name": "orders", "connection": { "urlEnv": "ORDERS_URL" } }],\n  "databases": []\n}',
      'has "databases" twice in one object, the second time in line 3, column 3',
      "Put both together",
    ],
    [
      "that is empty",
      "",
      "is not JSON: a value is missing, line 1, column 1",
      "Write texts in double quotes",
    ],
  ])("%s is refused with the place and an example", async (_, config, message, hint) => {
    const scene = await setConfigScene()
    const file = await scene.write(config)
    const failure = failureOfRun(await scene.run(["list", "--config", file]))
    expect(failure.kind).toBe("usage")
    expect(failure.message).toContain(file)
    expect(failure.message).toContain(message)
    expect(failure.hint).toContain(hint)
    expect(`${failure.message} ${failure.hint}`).not.toContain("hunter2")
  })

  test("that is missing, a folder, or nobody's to read is named with what to do", async () => {
    const scene = await setConfigScene()
    const refusal = async (file: string) => failureOfRun(await scene.run(["backup", "--config", file]))
    expect(await refusal("none.json")).toMatchObject({
      kind: "usage",
      message: "there is no file none.json",
      hint: "Give --config (PGSTOW_CONFIG) the name of your file of settings; `pgstow init` writes one.",
    })
    await mkdir(join(scene.folder, "folder"))
    expect((await refusal("folder")).message).toContain("folder is a folder, and no file")
    // The kernel gives nobody the first byte of it.
    const unreadable = await refusal("/proc/self/mem")
    expect(unreadable.message).toMatch(/^the settings in \/proc\/self\/mem can't be read: /)
    expect(unreadable.hint).toBe("Check its name, and that the user that runs pgstow may read it.")
  })

  test("for what was asked says which databases there are, or what contradicts it", async () => {
    const scene = await setConfigScene()
    const file = await scene.write({ databases: scene.databases, ...scene.top })
    const refusal = async (...args: string[]) => failureOfRun(await scene.run([...args, "--config", file]))
    expect(await refusal("backup", "order")).toMatchObject({
      message: `there is no database "order" in ${file}`,
      hint: "Is orders meant? There are orders, sales.",
    })
    expect(await refusal("restore", "latest", "--into", "x")).toMatchObject({
      message: `${file} has several databases, and \`restore\` is about one`,
      hint: "Name it by --database: orders, sales.",
    })
    expect(await refusal("verify", "20260102T03")).toMatchObject({
      hint: "Name it by --database: orders, sales.",
    })
    expect((await refusal("backup", "--dbname", "orders")).message).toContain(
      "--dbname is about one database",
    )
    expect((await refusal("backup", "--all")).message).toContain(
      "--all and a file of settings contradict each other",
    )
    expect((await refusal("status", "--format", "prometheus")).message).toContain(
      "--format prometheus is about one database",
    )
    expect(failureOfRun(await scene.run(["backup", "orders"])).message).toBe(
      "orders names a database of a file of settings, and none was given",
    )
  })
})

describe("a schedule by a file of settings", () => {
  const orders = { name: "orders", connection: { urlEnv: "ORDERS_URL" } }
  const sales = { name: "sales", connection: { url: "postgresql://app@db.example.com/sales" } }
  const top = { storages: ["/srv/pgstow"], unencrypted: true }

  test("runs the backup of all its databases, at the time that it says", async () => {
    const scene = await setConfigScene()
    const file = await scene.write({ ...top, databases: [{ ...sales, schedule: "cron(5 4 * * ? *)" }] })
    const { exitCode, stdout, stderr } = await scene.run(["schedule", "--cron", "--config", file])
    expect(exitCode, stderr).toBe(0)
    expect(stdout).toMatch(new RegExp(`^5 4 \\* \\* \\* \\S+ \\S+ \\S+ backup --config=${file}$`, "m"))
    const other = await scene.run(["schedule", "--cron", "--config", file, "--at", "6:30"])
    expect(other.stdout).toMatch(/^30 6 /m)
    await writeFile(join(scene.folder, "env"), "ORDERS_URL=postgresql://app@db.example.com/orders", {
      mode: 0o600,
    })
    await scene.write({ ...top, databases: [orders, sales] })
    const both = await scene.run(["schedule", "--config", file, "--settings", "env"])
    expect(both.exitCode, both.stderr).toBe(0)
    expect(both.stdout).toContain(`LoadCredential=settings:${scene.folder}/env\n`)
    expect(both.stdout).toContain(`backup --config=${file}\n`)

    await writeFile(join(scene.folder, "env"), `PGSTOW_CONFIG=${file}\n`, { mode: 0o600 })
    const unnamed = failureOfRun(await scene.run(["schedule", "--settings", "env"]))
    expect(unnamed.message).toMatch(/env names a file of settings by PGSTOW_CONFIG$/)
    expect(unnamed.hint).toContain(`--config ${file}`)
  })

  test.each([
    [[{ ...sales, schedule: "rate(6 hours)" }], "the schedule of sales in .* is no time of day"],
    [
      [{ ...sales, schedule: "cron(0 3 * * ? *)", timeZone: "Asia/Kathmandu" }],
      "is in the time zone Asia/Kathmandu",
    ],
    [
      [
        { ...orders, schedule: "cron(0 3 * * ? *)" },
        { ...sales, schedule: "cron(0 4 * * ? *)" },
      ],
      "different schedules \\(03:00, 04:00\\)",
    ],
    [[orders, sales], "ORDERS_URL is not set, and is the connection of orders"],
  ])("of %j is refused where no timer could do it", async (databases, message) => {
    const scene = await setConfigScene()
    const file = await scene.write({ ...top, databases })
    const failure = failureOfRun(await scene.run(["schedule", "--config", file]))
    expect(failure.kind).toBe("usage")
    expect(failure.message).toMatch(new RegExp(message))
  })

  test("in the foreground is looked at before it waits", async () => {
    const scene = await setConfigScene()
    const file = await scene.write({
      databases: [orders, { name: "none", connection: { urlEnv: "NONE" } }],
      ...top,
    })
    const failure = failureOfRun(await scene.run(["schedule", "--run", "0 3 * * *", "--config", file]))
    expect(failure.message).toBe(`NONE is not set, and is the connection of none in ${file}`)
  })
})
