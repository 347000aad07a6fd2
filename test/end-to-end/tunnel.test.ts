import { execFileSync } from "node:child_process"
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises"
import { connect } from "node:net"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { describe, expect, onTestFinished, test } from "vitest"
import * as z from "zod"
import { compareDatabases } from "../support/compare-databases.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { holdDump } from "../support/held-dump.ts"
import { needsLinux } from "../support/not-run.ts"
import { runPgstow } from "../support/pgstow.ts"
import { freePort, startPostgres } from "../support/postgres.ts"
import { processesNaming } from "../support/processes.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { type Sshd, startSshd } from "../support/sshd.ts"

type TunnelScene = Scene & { readonly sshd: Sshd; readonly through: Readonly<Record<string, string>> }

/** A scene whose settings name a tunnel. */
async function setTunnelScene(
  settings: Readonly<Record<string, string>> = {},
  from?: Parameters<typeof setScene>[0],
): Promise<TunnelScene> {
  const scene = await setScene(from)
  const sshd = await startSshd(scene.folder, settings)
  return { ...scene, sshd, through: { PATH: sshd.PATH, PGSTOW_TUNNEL: sshd.bastion } }
}

/** Every ssh that the scene has started. */
const sshOf = ({ folder }: Scene) => processesNaming(join(folder, "ssh_config"))

/** Whether every ssh of the scene ends within some seconds. */
async function expectNoSsh(scene: Scene) {
  for (const until = Date.now() + 5_000; sshOf(scene).length > 0 && Date.now() < until; ) await wait(50)
  expect(sshOf(scene)).toEqual([])
}

const ofEach = z.object({
  databases: z.array(z.object({ database: z.string(), error: z.object({ message: z.string() }).nullable() })),
})
const finding = z.looseObject({ check: z.string(), what: z.string(), fix: z.string() })
const findings = z.looseObject({ findings: z.array(finding) })

test("a backup, a restore and doctor reach the server through the tunnel, and leave no ssh behind", async () => {
  const scene = await setTunnelScene()
  const { server, database, folder, sshd, through } = scene
  await fillSampleDatabase(server, database, { megabytes: 2 })
  await scene.json(["backup", "--jobs", "2"], through)
  const forwards = () =>
    sshd.log().match(new RegExp(`target 127\\.0\\.0\\.1 port ${server.port}\\b`, "g"))?.length ?? 0
  // Two sessions and pg_dump.
  expect(forwards()).toBeGreaterThanOrEqual(3)
  await expectNoSsh(scene)
  await scene.json(["verify", "latest", "--deep"])

  const into = `${database}_new`
  onTestFinished(() => server.psql(`DROP DATABASE IF EXISTS ${into}`).then(() => {}))
  const before = forwards()
  await scene.json(["restore", "latest", "--into", into, "--tunnel", sshd.bastion], { PATH: sshd.PATH })
  expect(forwards()).toBeGreaterThan(before)
  expect(await compareDatabases({ server, name: database }, { server, name: into })).toEqual([])
  await scene.json(["drill", "latest"], { ...through, PGSTOW_TARGET: server.url("postgres") })
  const doctor = await scene.run(["doctor", "--json"], through)
  const { findings: found } = findings.parse(JSON.parse(doctor.stdout))
  expect(found.map(({ check }) => check)).not.toContain("source.connection")
  await expectNoSsh(scene)

  const called = await readFile(join(folder, "ssh-called"), "utf8")
  expect(called).not.toContain(server.password)
  for (const option of ["BatchMode=yes", "StrictHostKeyChecking=yes", "ControlPath=none"])
    expect(called).toContain(option)
})

test.skipIf(needsLinux)(
  `this end of the tunnel is bound to a loopback address alone, and gone afterwards${needsLinux}`,
  async () => {
    const scene = await setTunnelScene()
    const held = await holdDump(scene.server, scene.database)
    const running = scene.start(["backup"], scene.through)
    await held.reached()
    const [, address = "", port] =
      / -L (127\.\d+\.\d+\.\d+):(\d+):/.exec(await readFile(join(scene.folder, "ssh-called"), "utf8")) ?? []
    const listening = () =>
      execFileSync("sh", ["-c", "cat /proc/net/tcp /proc/net/tcp6"], { encoding: "utf8" })
        .split("\n")
        .map((line) => line.trim().split(/\s+/))
        .filter(
          ([, local = "", , state]) =>
            state === "0A" && Number.parseInt(local.split(":")[1] ?? "", 16) === Number(port),
        )
        .map(([, local = ""]) => local.split(":")[0])
    const hex = address
      .split(".")
      .reverse()
      .map((part) => Number(part).toString(16).padStart(2, "0"))
    expect(listening()).toContain(hex.join("").toUpperCase())
    expect(listening()).not.toContain("00000000")
    await held.release()
    expect((await running.finished).exitCode).toBe(0)
    await expectNoSsh(scene)
    await expect(
      new Promise((resolve, reject) =>
        connect(Number(port), address, () => resolve("open")).once("error", reject),
      ),
    ).rejects.toThrow("ECONNREFUSED")
  },
)

test.skipIf(needsLinux)(
  `a password file is held against the server's own name and port${needsLinux}`,
  async () => {
    const scene = await setTunnelScene()
    const { server, database, folder, through } = scene
    const { username } = new URL(server.url(database))
    const PGPASSFILE = join(folder, "pgpass")
    await writeFile(PGPASSFILE, `127.0.0.1:${server.port}:*:${username}:${server.password}\n`, {
      mode: 0o600,
    })
    // The server itself listens at 127.0.0.1 only: its port is free at another loopback address.
    const DATABASE_URL = `postgresql://${username}@127.0.0.1:${server.port}/${database}`
    await scene.json(["backup"], { ...through, DATABASE_URL, PGPASSFILE })
  },
)

test("a file of settings names a tunnel for all of its databases, or for one: a broken one fails that one alone", async () => {
  const scene = await setTunnelScene()
  const { server, database, folder, recipient, sshd } = scene
  const second = await server.createDatabase()
  const config = {
    databases: [
      { name: "orders", connection: { urlEnv: "ORDERS_URL" }, tunnel: `me@127.0.0.1:${await freePort()}` },
      { name: "sales", connection: { urlEnv: "SALES_URL" } },
    ],
    storages: ["./backups"],
    recipients: [recipient],
    tunnel: sshd.bastion,
  }
  const file = join(folder, "pgstow.config.json")
  await writeFile(file, JSON.stringify(config))
  const { stdout, stderr } = await runPgstow(
    ["backup", "--config", file, "--json"],
    {
      PATH: sshd.PATH,
      PGSTOW_PG_BIN: server.binDir,
      ORDERS_URL: server.url(database),
      SALES_URL: server.url(second),
      TMPDIR: folder,
    },
    { cwd: folder },
  )
  const { databases } = ofEach.parse(JSON.parse(stdout))
  expect(
    databases.map(({ database }) => database),
    stderr,
  ).toEqual(["orders", "sales"])
  expect(databases[0]?.error?.message).toMatch(/^orders: the tunnel through me@127.* Connection refused/)
  expect(databases[1]?.error).toBeNull()
  await expectNoSsh(scene)
})

test("sslmode=verify-full holds the certificate against the server's name, not against this machine's", async () => {
  const server = await startPostgres({ tls: true })
  onTestFinished(() => server.stop())
  const scene = await setTunnelScene({}, server)
  const { database, through } = scene
  const url = (host: string) => {
    const at = new URL(server.url(database))
    at.hostname = host
    at.search = `hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert=${server.rootCertificate}`
    return { ...through, DATABASE_URL: at.href }
  }
  await scene.json(["backup"], url("localhost"))
  const failure = failureOfRun(await scene.run(["backup"], url("db.example.com")))
  expect(failure.message).toMatch(/does not match host name "db\.example\.com"/)
  expect(failure.message).toContain(`through ${scene.sshd.bastion}`)
  await expectNoSsh(scene)
})

describe("is refused in words before anything is backed up:", () => {
  const attempt = async (scene: TunnelScene, env: Readonly<Record<string, string>> = {}) => {
    const failure = failureOfRun(await scene.run(["backup"], { ...scene.through, ...env }))
    await expectNoSsh(scene)
    await scene.expectNoBackup()
    return failure
  }

  test("a bastion that asks for a password", async () => {
    const scene = await setTunnelScene({ PubkeyAuthentication: "no", PasswordAuthentication: "yes" })
    expect(await attempt(scene)).toMatchObject({
      kind: "postgres",
      message: `the tunnel through ${scene.sshd.bastion} could not be opened: it asks for a password, or for what a key alone does not give`,
      hint: expect.stringMatching(/authorized_keys/) as unknown,
    })
  })

  test("a bastion that does not know the key", async () => {
    const scene = await setTunnelScene({ AuthorizedKeysFile: "/dev/null" })
    const { message, hint } = await attempt(scene)
    expect(message).toMatch(/could not be opened: .*Permission denied \(publickey\)/)
    expect(hint).toMatch(/authorized_keys/)
  })

  test("a host key that has changed, which is never accepted", async () => {
    const scene = await setTunnelScene()
    const { sshd, folder } = scene
    const other = await readFile(join(folder, "user-key.pub"), "utf8")
    const known = `[127.0.0.1]:${sshd.port} ${other}`
    await writeFile(sshd.knownHosts, known)
    const { message, hint } = await attempt(scene)
    expect(message).toMatch(
      /could not be opened: its host key is another than the one known here; the new one is SHA256:\S{43}; the known one is in \/.*known_hosts:1$/,
    )
    expect(hint).toContain(`ssh-keygen -R "[127.0.0.1]:${sshd.port}"`)
    expect(await readFile(sshd.knownHosts, "utf8")).toBe(known)
  })

  test("a host key that is not known, which is never accepted", async () => {
    const scene = await setTunnelScene()
    await writeFile(scene.sshd.knownHosts, "")
    const { message, hint } = await attempt(scene)
    expect(message).toMatch(/could not be opened: its host key is not known here/)
    expect(hint).toContain(`ssh -p ${scene.sshd.port}`)
    expect(await readFile(scene.sshd.knownHosts, "utf8")).toBe("")
  })

  test("a bastion that can't be reached", async () => {
    const scene = await setTunnelScene()
    const port = await freePort()
    const { message, hint } = await attempt(scene, { PGSTOW_TUNNEL: `me@127.0.0.1:${port}` })
    expect(message).toMatch(
      /could not be opened: ssh: connect to host 127\.0\.0\.1 port \d+: Connection refused/,
    )
    expect(hint).toMatch(/firewalls/)
  })

  test("a bastion whose name nobody knows", async () => {
    const scene = await setTunnelScene()
    const { message } = await attempt(scene, { PGSTOW_TUNNEL: "me@bastion.invalid" })
    expect(message).toMatch(/could not be opened: .*Could not resolve hostname bastion\.invalid/)
  })

  test("a bastion that does not forward", async () => {
    const scene = await setTunnelScene({ AllowTcpForwarding: "no" })
    const { message, hint } = await attempt(scene)
    expect(message).toBe(
      `${scene.sshd.bastion} does not forward to 127.0.0.1:${scene.server.port}: administratively prohibited: open failed`,
    )
    expect(hint).toMatch(/AllowTcpForwarding/)
  })

  test("a server that the bastion does not reach", async () => {
    const scene = await setTunnelScene()
    const port = await freePort()
    const DATABASE_URL = scene.server.url(scene.database).replace(`:${scene.server.port}/`, `:${port}/`)
    const { message, hint } = await attempt(scene, { DATABASE_URL })
    expect(message).toBe(
      `${scene.sshd.bastion} could not connect to 127.0.0.1:${port}: connect failed: Connection refused`,
    )
    expect(hint).toMatch(/as the bastion knows them/)
  })

  test("a machine without ssh", async () => {
    const scene = await setTunnelScene()
    const bin = join(scene.folder, "no-ssh")
    await mkdir(bin)
    await symlink("/bin/sh", join(bin, "sh"))
    const { message, hint } = await attempt(scene, { PATH: bin })
    expect(message).toBe(`the tunnel through ${scene.sshd.bastion} could not be opened: ssh is not installed`)
    expect(hint).toMatch(/openssh-client/)
  })

  test("a bastion in the settings of doctor is a finding, beside what it finds of the rest", async () => {
    const scene = await setTunnelScene({ AuthorizedKeysFile: "/dev/null" })
    const { stdout, exitCode } = await scene.run(["doctor", "--json"], scene.through)
    expect(exitCode).not.toBe(0)
    const { findings: found } = findings.parse(JSON.parse(stdout))
    expect(found.find(({ check }) => check === "source.connection")?.what).toMatch(/Permission denied/)
    await expectNoSsh(scene)
  })
})

describe("no ssh is left, and the reason is said,", () => {
  test("when the tunnel breaks in mid-backup", async () => {
    const scene = await setTunnelScene()
    const held = await holdDump(scene.server, scene.database)
    const running = scene.start(["backup"], scene.through)
    await held.reached()
    await scene.sshd.stop()
    const { kind, message, hint } = failureOfRun(await running.finished)
    expect(kind).toBe("postgres")
    expect(message).toMatch(new RegExp(`^the tunnel through ${scene.sshd.bastion} broke: .*closed`))
    expect(hint).toMatch(/bastion/)
    await expectNoSsh(scene)
    await scene.expectNoBackup()
  })

  test.each(["SIGINT", "SIGTERM"] as const)("when the backup gets %s", async (signal) => {
    const scene = await setTunnelScene()
    const held = await holdDump(scene.server, scene.database)
    const running = scene.start(["backup"], scene.through)
    await held.reached()
    // As Ctrl-C in a terminal sends it: to all that it started.
    running.killAll(signal)
    expect(failureOfRun(await running.finished).message).toMatch(new RegExp(`^stopped by ${signal}`))
    await expectNoSsh(scene)
  })

  test.skipIf(needsLinux)(`when the backup is killed, and so can say nothing${needsLinux}`, async () => {
    const scene = await setTunnelScene()
    const held = await holdDump(scene.server, scene.database)
    const running = scene.start(["backup"], scene.through)
    await held.reached()
    expect(sshOf(scene)).toHaveLength(1)
    running.finished.catch(() => {}) // What it leaves then ends by itself.
    running.kill("SIGKILL")
    await expectNoSsh(scene)
  })
})
