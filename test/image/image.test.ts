import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { readFile, stat } from "node:fs/promises"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import { generateX25519Identity, identityToRecipient } from "age-encryption"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as z from "zod"
import { compareDatabases } from "../support/compare-databases.ts"
import { type PostgresCluster, startPostgres } from "../support/postgres.ts"
import { type S3Endpoint, startS3Endpoint } from "../support/s3-endpoint.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { type BuiltImage, buildImage } from "./built-image.ts"

let server: PostgresCluster
let s3: S3Endpoint
let image: BuiltImage

beforeAll(async () => {
  server = await startPostgres({ major: 15, tls: true })
  s3 = await startS3Endpoint({ buckets: ["backups"] })
  image = buildImage(server.rootCertificate ?? "")
}, 600_000)
afterAll(async () => {
  image?.remove()
  await s3?.close()
  await server?.stop()
})

it("runs as a user without rights, started by no shell, and holds neither npm nor the packages of the client programs", async () => {
  expect(image.config).toMatchObject({
    user: "65532:65532",
    entryPoint: ["/usr/local/bin/node", "/opt/pgstow/pgstow.mjs"],
  })
  expect(existsSync(join(image.files, "usr/local/bin/node"))).toBe(true)
  for (const path of [
    "usr/local/lib/node_modules",
    "var/lib/dpkg/info/postgresql-client-common.list",
    "opt/pgstow/rds.pem",
  ])
    expect(existsSync(join(image.files, path)), path).toBe(false)
})

it("lists the packages that it was made from, with their versions", async () => {
  const list = async (name: string) => readFile(join(image.files, "opt/pgstow", name), "utf8")
  expect(await list("packages.txt")).toMatch(/^libpq5(:\w+)?\t\d+/m)
  expect(await list("client-packages.txt")).toMatch(/^postgresql-client-15\t15\./m)
})

it("says what it is, of which version, by the labels that OCI names", async () => {
  const { version, license } = z
    .object({ version: z.string(), license: z.string() })
    .parse(JSON.parse(await readFile(resolve(import.meta.dirname, "../../package.json"), "utf8")))
  expect(image.config.labels).toMatchObject({
    "org.opencontainers.image.title": "pgstow",
    "org.opencontainers.image.description": "Encrypted, verified, restorable PostgreSQL backups",
    "org.opencontainers.image.version": version,
    "org.opencontainers.image.licenses": license,
  })
})

it("takes up less than 220 MB unpacked with the clients of six major versions, and holds no symbols of Node's", async () => {
  const bytesBelow = async (path: string) => {
    const { stdout } = await promisify(execFile)("du", ["--summarize", "--bytes", join(image.files, path)])
    return Number.parseInt(stdout, 10)
  }
  const all = await bytesBelow("")
  const clients = await bytesBelow("usr/lib/postgresql/15/bin")
  const parts = {
    node: await bytesBelow("usr/local/bin/node"),
    program: await bytesBelow("opt/pgstow/pgstow.mjs"),
    clients,
    all,
  }
  // Only Debian's own version can be had here; the newest one's programs are a quarter larger.
  expect(all + 5 * 1.3 * clients, JSON.stringify(parts)).toBeLessThan(220_000_000)
  const original = (await stat(resolve("node_modules/node/bin/node"))).size
  expect(parts.node).toBeLessThan(0.9 * original)
})

it("can write nowhere but in /tmp", async () => {
  const write = (file: string) =>
    image.run(["-e", `require("fs").writeFileSync("${file}", "")`], {}, ["/usr/local/bin/node"])
  expect(await write("/tmp/file")).toMatchObject({ exitCode: 0 })
  for (const file of ["/opt/pgstow/file", "/usr/local/bin/file", "/etc/file"])
    expect((await write(file)).stderr).toMatch(/EROFS|EACCES/)
})

it("backs up by verified TLS to S3, and restores the same database, with a read-only root", async () => {
  await server.createDatabase("orders")
  await fillSampleDatabase(server, "orders", { megabytes: 2 })
  const identity = await generateX25519Identity()
  const common = {
    DATABASE_URL: server.url("orders"),
    PGSSLMODE: "verify-full",
    PGSTOW_STORAGE: `s3://backups/pgstow?endpoint=${s3.url}`,
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    AWS_REGION: "eu-central-1",
  }
  const backup = await image.run(["backup"], {
    ...common,
    PGSTOW_RECIPIENTS: await identityToRecipient(identity),
  })
  expect(backup, backup.stderr).toMatchObject({ exitCode: 0 })
  const restore = [
    "restore",
    "--backup",
    "latest",
    "--database",
    "orders",
    "--into",
    "orders_restored",
    "--yes",
  ]
  expect(await image.run(restore, { ...common, PGSTOW_IDENTITY: identity })).toMatchObject({ exitCode: 0 })
  expect(await compareDatabases({ server, name: "orders" }, { server, name: "orders_restored" })).toEqual([])

  // What its health check runs.
  const { Test, Interval, Timeout, Retries } = image.config.healthcheck
  const [kind, ...health] = Test
  expect([kind, Interval / 1e9, Timeout / 1e9, Retries]).toEqual(["CMD", 600, 60, 6])
  expect(await image.run([], common, health)).toMatchObject({ exitCode: 0 })
  const elsewhere = { ...common, PGSTOW_STORAGE: `s3://backups/nothing?endpoint=${s3.url}` }
  expect(await image.run([], elsewhere, health)).toMatchObject({ exitCode: 8 })
}, 120_000)

describe("a server whose authority the image does not know", () => {
  let other: PostgresCluster
  const backup = async (url: string, more: Readonly<Record<string, string>> = {}) =>
    image.run(["backup"], {
      DATABASE_URL: url,
      PGSSLMODE: "verify-full",
      PGSTOW_STORAGE: "file:///tmp/backups",
      PGSTOW_RECIPIENTS: await identityToRecipient(await generateX25519Identity()),
      ...more,
    })
  beforeAll(async () => {
    other = await startPostgres({ major: 15, tls: true })
  })
  afterAll(() => other?.stop())

  it("is refused by default", async () => {
    const { exitCode, stderr } = await backup(other.url("postgres"))
    expect(exitCode).toBe(3)
    expect(stderr).toContain("certificate verify failed")
  })

  it("is reached with its authority as text", async () => {
    const pem = await readFile(other.rootCertificate ?? "", "utf8")
    expect(await backup(other.url("postgres"), { PGSTOW_CA: pem })).toMatchObject({ exitCode: 0 })
  })

  it("is reached by sslmode=require, which asks for TLS alone, as anywhere", async () => {
    const require = await backup(`${other.url("postgres")}?sslmode=require`)
    expect(require, require.stderr).toMatchObject({ exitCode: 0 })
  })
})

it("speaks in clear only where sslmode=disable says so", async () => {
  const plain = await startPostgres({ major: 15 })
  try {
    const backup = async (mode: string) =>
      image.run(["backup"], {
        DATABASE_URL: `${plain.url("postgres")}?sslmode=${mode}`,
        PGSTOW_STORAGE: "file:///tmp/backups",
        PGSTOW_RECIPIENTS: await identityToRecipient(await generateX25519Identity()),
      })
    for (const mode of ["prefer", "allow", "require"])
      expect((await backup(mode)).stderr).toContain("server does not support SSL")
    const disabled = await backup("disable")
    expect(disabled, disabled.stderr).toMatchObject({ exitCode: 0 })
  } finally {
    await plain.stop()
  }
}, 120_000)
