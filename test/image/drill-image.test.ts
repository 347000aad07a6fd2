import { existsSync } from "node:fs"
import { readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { generateX25519Identity, identityToRecipient } from "age-encryption"
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest"
import { withoutServers } from "../../infra/backup-tasks.ts"
import { type PostgresCluster, startPostgres } from "../support/postgres.ts"
import { type S3Endpoint, startS3Endpoint } from "../support/s3-endpoint.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { type BuiltImage, buildImage } from "./built-image.ts"

/** The target `drill`: the image of the tasks with PostgreSQL's servers. */

let server: PostgresCluster
let s3: S3Endpoint
let image: BuiltImage

beforeAll(async () => {
  server = await startPostgres({ major: 15, tls: true })
  s3 = await startS3Endpoint({ buckets: ["backups"] })
  image = buildImage(server.rootCertificate ?? "", "drill")
}, 600_000)
afterAll(async () => {
  image?.remove()
  await s3?.close()
  await server?.stop()
})

it("runs as the user without rights, and holds servers, their extensions and libraries, but no compiler and no Perl", async () => {
  expect(image.config).toMatchObject({
    user: "65532:65532",
    entryPoint: ["/usr/local/bin/node", "/opt/pgstow/pgstow.mjs"],
  })
  const there = (path: string) => existsSync(join(image.files, path))
  for (const path of [
    "usr/lib/postgresql/15/bin/initdb",
    "usr/lib/postgresql/15/lib/amcheck.so",
    "usr/share/postgresql/15/extension/ip4r.control",
    "usr/share/zoneinfo/UTC",
  ])
    expect(there(path), path).toBe(true)
  for (const path of ["usr/lib/postgresql/15/lib/llvmjit.so", "var/lib/dpkg/info/postgresql-common.list"])
    expect(there(path), path).toBe(false)
  const list = (name: string) => readFile(join(image.files, "opt/pgstow", name), "utf8")
  expect(await list("server-packages.txt")).toMatch(/^postgresql-15\t15\./m)
  expect(await list("packages.txt")).toMatch(/^libicu\d+(:\w+)?\t/m)
})

it("drills a backup with a read-only root, and puts the finding beside it", async () => {
  await server.createDatabase("orders")
  await fillSampleDatabase(server, "orders", { megabytes: 2 })
  const identity = await generateX25519Identity()
  const common = {
    PGSTOW_STORAGE: `s3://backups/pgstow?endpoint=${s3.url}`,
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    AWS_REGION: "eu-central-1",
  }
  const recipient = await identityToRecipient(identity)
  const backup = await image.run(["backup"], {
    ...common,
    DATABASE_URL: server.url("orders"),
    PGSTOW_RECIPIENTS: recipient,
  })
  expect(backup, backup.stderr).toMatchObject({ exitCode: 0 })
  const drill = await image.run(["drill", "latest", "--database", "orders"], {
    ...common,
    PGSTOW_IDENTITY: identity,
  })
  expect(drill, `${drill.stderr}${drill.stdout}`).toMatchObject({ exitCode: 0 })
  const show = await image.run(["show", "latest", "--database", "orders"], common)
  expect(show.stdout).toContain("drilled")
}, 300_000)

it("drills as the stack has it: what functions of the database do on the machine comes to no secret of the task", async () => {
  const seen = `/tmp/pgstow-seen-${process.pid}`
  onTestFinished(() => rm(seen, { force: true }))
  await server.createDatabase("hostile")
  // Runs where the row's index is made: here at the source first, and then in the drill, as each server's user.
  await server.psql(
    `CREATE FUNCTION look() RETURNS void LANGUAGE plpgsql AS $look$ BEGIN
       COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; (id -u; cat /proc/[0-9]*/environ | tr "\\0" "\\n" | grep -q ^PGSTOW_IDENTITY= && echo key || echo nothing) > ${seen} 2> /dev/null; true';
     END $look$;
     CREATE FUNCTION same(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM public.look(); RETURN $1; END';
     CREATE TABLE rows AS SELECT 1 AS id;
     CREATE INDEX ON rows (public.same(id))`,
    "hostile",
  )
  const identity = await generateX25519Identity()
  const common = {
    PGSTOW_STORAGE: `s3://backups/pgstow?endpoint=${s3.url}`,
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    AWS_REGION: "eu-central-1",
  }
  const backup = await image.run(["backup"], {
    ...common,
    DATABASE_URL: server.url("hostile"),
    PGSTOW_RECIPIENTS: await identityToRecipient(identity),
  })
  expect(backup, backup.stderr).toMatchObject({ exitCode: 0 })
  const drill = async (found: string, instead?: readonly string[], user?: string) => {
    const sql = `SELECT translate(pg_read_file('${seen}'), E'\\n', ' ')`
    const ran = await image.run(
      ["drill", "latest", "--database", "hostile"],
      { ...common, PGSTOW_IDENTITY: identity, PGSTOW_EXPECTATIONS: JSON.stringify([{ sql, expect: found }]) },
      instead,
      user,
    )
    expect(ran, `${ran.stderr}${ran.stdout}`).toMatchObject({ exitCode: 0 })
  }
  // As the image's user, the server is one with pgstow: this shows that the function looks in the right place.
  await drill("65532 key ")
  const dropped = withoutServers.map((capability) => `-${capability.toLowerCase()}`).join()
  const asInTheStack = ["setpriv", "--bounding-set", dropped, "--", ...image.config.entryPoint]
  await drill("65534 nothing ", asInTheStack, "0:0")
}, 300_000)
