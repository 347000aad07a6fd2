import { once } from "node:events"
import { closeSync, openSync, writeSync } from "node:fs"
import { readdir, symlink, writeFile } from "node:fs/promises"
import { type AddressInfo, createServer } from "node:net"
import { join } from "node:path"
import { describe, expect, onTestFinished, test } from "vitest"
import { type BackupScene, setBackupScene } from "../support/backup-scene.ts"
import { needsMount, smallDisk } from "../support/disk.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { needsLinux } from "../support/not-run.ts"
import { freePort } from "../support/postgres.ts"
import type { Inject, S3Endpoint } from "../support/s3-endpoint.ts"

const denied = { status: 403, code: "AccessDenied" } as const
const impatient = { PGSTOW_STORAGE_TIMEOUT: "1" }

function on(operation: string, fault: ReturnType<Inject>): Inject {
  return (request) => (request.operation === operation ? fault : undefined)
}

/** The same for what is sent of the dump, and nothing that a probe asks for. */
function onDump(operation: string, fault: ReturnType<Inject>): Inject {
  return (request) => (request.operation === operation && request.key.includes("/main.") ? fault : undefined)
}

const refusesManifest: Inject = ({ key }) => (key.endsWith("/manifest.json") ? denied : undefined)

describe("a backup whose only storage fails does not exist, and ends with 4", () => {
  test.each<[string, Inject, string]>([
    ["refuses uploads from then on", onDump("CreateMultipartUpload", denied), "access denied"],
    [
      "is always overloaded",
      onDump("CreateMultipartUpload", { status: 503, code: "ServiceUnavailable" }),
      "it is overloaded",
    ],
    ["breaks the connection midway", onDump("UploadPart", "break"), "broke the connection"],
    ["hangs midway", onDump("UploadPart", "hang"), "does not answer"],
    ["refuses to complete an upload", on("CompleteMultipartUpload", denied), "access denied"],
  ])("where a bucket %s", async (_, inject, message) => {
    const { bucket, run, expectNothing } = await setBackupScene()
    bucket.endpoint.inject(inject)
    const finished = await run(["backup"], { ...impatient, PGSTOW_STORAGE: bucket.storage })
    const failure = failureOfRun(finished)
    expect(failure.kind).toBe("storage")
    expect(failure.message).toMatch(
      /^cannot write \S+\/main\.dump\.zst\.age in s3:\/\/backups\/root\?endpoint=/,
    )
    expect(failure.message).toContain(message)
    // What never took anything is not asked to remove anything, which may take as long again.
    expect(bucket.endpoint.requests.map(({ operation }) => operation)).not.toContain("DeleteObjects")
    await expectNothing()
  })

  test.skipIf(needsMount)(`where a directory's disk fills up${needsMount}`, async () => {
    const { run } = await setBackupScene()
    const disk = await smallDisk()
    const failure = failureOfRun(await run(["backup"], { PGSTOW_STORAGE: `file://${disk}` }))
    expect(failure.kind).toBe("storage")
    expect(failure.message).toMatch(/^cannot write \S+\/main\.dump\.zst\.age in file:.*: the disk is full/)
    expect(await readdir(disk)).toEqual([])
  })
})

test("a bucket whose clock is hours ahead takes a backup, and the difference is told", async () => {
  const { bucket, run } = await setBackupScene()
  bucket.endpoint.setAhead(120)
  const env = { PGSTOW_STORAGE: bucket.storage }
  const made = await run(["backup"], env)
  expect(made.exitCode, made.stderr).toBe(0)
  expect(made.stderr).toContain("this machine's clock is 2 h 0 min behind that of s3://backups/root")
  const failure = failureOfRun(await run(["status"], env))
  expect(failure).toMatchObject({ kind: "clock", exitCode: 12 })
  expect(failure.message).toContain("this machine's clock is 2 h 0 min behind that of s3://backups/root")
  bucket.endpoint.setAhead(0)
  const good = await run(["backup"], env)
  expect(good.stderr).not.toContain("clock")
  expect((await run(["status"], env)).exitCode).toBe(0)
})

describe("a backup whose only storage can't take anything ends with 4 before it asks for the database", () => {
  async function expectNoConnection({ run }: BackupScene, storage: string): Promise<string> {
    const server = await listen()
    const PGSTOW_STORAGE = storage
    const failure = failureOfRun(await run(["backup"], { DATABASE_URL: server.url, PGSTOW_STORAGE }))
    expect(failure).toMatchObject({ kind: "storage", exitCode: 4 })
    expect(server.connections()).toBe(0)
    return failure.message
  }

  test("where the directory is a link to a disk that is not mounted", async () => {
    const scene = await setBackupScene()
    const link = join(scene.folder, "link")
    await symlink(join(scene.folder, "disk"), link)
    const message = await expectNoConnection(scene, `file://${link}`)
    expect(message).toContain(
      `${link} is a symbolic link to ${join(scene.folder, "disk")}, which does not exist`,
    )
  })

  test.skipIf(needsLinux)(`where no directory can be made${needsLinux}`, async () => {
    const message = await expectNoConnection(await setBackupScene(), "file:///proc/backups")
    expect(message).toContain("no folder can be made")
  })

  test("where a bucket refuses everything", async () => {
    const scene = await setBackupScene()
    scene.bucket.endpoint.inject(() => denied)
    expect(await expectNoConnection(scene, scene.bucket.storage)).toContain("access denied")
    await scene.expectNothing()
  })

  test("where all of them fail, each with its reason", async () => {
    const scene = await setBackupScene()
    scene.bucket.endpoint.inject(() => denied)
    const link = join(scene.folder, "link")
    await symlink("nowhere", link)
    const message = await expectNoConnection(scene, `file://${link} ${scene.bucket.storage}`)
    expect(message).toContain("access denied")
    expect(message).toContain("which does not exist")
  })

  test("where a bucket is missing", async () => {
    const scene = await setBackupScene()
    const { endpoint, storage } = scene.bucket
    const message = await expectNoConnection(scene, storage.replace("backups", "elsewhere"))
    expect(message).toContain(`${endpoint.url} has no bucket elsewhere`)
  })

  test("where nothing listens at a bucket's endpoint", async () => {
    const scene = await setBackupScene()
    const endpoint = `http://127.0.0.1:${await freePort()}`
    const storage = scene.bucket.storage.replace(scene.bucket.endpoint.url, endpoint)
    expect(await expectNoConnection(scene, storage)).toContain(`${endpoint} refuses connections`)
  })

  test.skipIf(needsMount)(`where a directory's disk is full${needsMount}`, async () => {
    const disk = await smallDisk()
    await writeFile(join(disk, "ballast"), Buffer.alloc(4 * 1024 * 1024 - 32_768))
    expect(await expectNoConnection(await setBackupScene(), `file://${disk}`)).toContain("the disk is full")
    expect(await readdir(disk)).toEqual(["ballast"])
  })
})

describe("a backup", () => {
  test("whose URL leaves the database's name to the service file finds its storage out after it", async () => {
    const scene = await setBackupScene()
    const services = join(scene.folder, "services.conf")
    const { hostname, port, username, password } = new URL(scene.env.DATABASE_URL ?? "")
    await writeFile(
      services,
      `[orders]\nhost=${hostname}\nport=${port}\nuser=${username}\ndbname=${scene.database}\n`,
    )
    const env = { DATABASE_URL: "service=orders", PGSERVICEFILE: services, PGPASSWORD: password }
    expect(await scene.json(["backup"], env)).toMatchObject({ database: scene.database })
    scene.bucket.endpoint.inject(() => denied)
    const failure = failureOfRun(
      await scene.run(["backup"], { ...env, PGSTOW_STORAGE: scene.bucket.storage }),
    )
    expect(failure.message).toMatch(/^cannot write \S+\/probe in s3:.*: access denied/)
  })

  test("where a bucket refuses the manifest, and what it holds is no backup", async () => {
    const { bucket, run } = await setBackupScene()
    bucket.endpoint.inject(refusesManifest)
    const failure = failureOfRun(await run(["backup"], { PGSTOW_STORAGE: bucket.storage }))
    expect(failure.kind).toBe("storage")
    expect(failure.message).toMatch(/^cannot write \S+\/manifest\.json in s3:.*: access denied/)
    expect(await bucket.keys()).not.toContainEqual(expect.stringContaining("manifest"))
    const listed = failureOfRun(await run(["list"], { PGSTOW_STORAGE: bucket.storage }))
    expect(listed.kind).toBe("notFound")
  })
})

describe("a backup one of whose two storages fails is whole in the other, and ends with 5", () => {
  test.each<[string, Inject, string]>([
    ["refuses everything", () => denied, "access denied"],
    ["breaks the connection midway", onDump("UploadPart", "break"), "broke the connection"],
    ["hangs midway", onDump("UploadPart", "hang"), "does not answer"],
    ["refuses the manifest", refusesManifest, "access denied"],
  ])("where the bucket %s", async (_, inject, message) => {
    const scene = await setBackupScene()
    scene.bucket.endpoint.inject(inject)
    const finished = await scene.run(["backup", "--json"], impatient)
    const failure = failureOfRun(finished)
    expect(failure.kind).toBe("partial")
    expect(failure.message).toContain("s3://backups/root")
    expect(failure.message).toContain(message)
    expect(failure.message).not.toContain("file:")
    expect(JSON.parse(finished.stdout)).toMatchObject({
      storages: [{ storage: scene.storage, state: "verified" }, { state: "missing" }],
    })
    expect(scene.bucket.endpoint.openUploads()).toEqual([])
    await expectGood(scene, scene.storage)
  })

  test.skipIf(needsMount)(`where the directory's disk is full${needsMount}`, async () => {
    const scene = await setBackupScene()
    const disk = await smallDisk()
    const PGSTOW_STORAGE = `file://${disk} ${scene.bucket.storage}`
    const failure = failureOfRun(await scene.run(["backup"], { PGSTOW_STORAGE }))
    expect(failure.kind).toBe("partial")
    expect(failure.message).toContain(`file://${disk}: missing: `)
    expect(failure.message).toContain("the disk is full")
    expect(await readdir(disk)).toEqual([])
    await expectGood(scene, scene.bucket.storage)
  })
})

describe("a backup that does not come back as it was stored", () => {
  test("is recorded as failed, and ends with 6", async () => {
    const { bucket, run, json } = await setBackupScene()
    bucket.endpoint.inject(damagesWhatIsRead(bucket.endpoint))
    const failure = failureOfRun(await run(["backup"], { PGSTOW_STORAGE: bucket.storage }))
    expect(failure.kind).toBe("damaged")
    expect(failure.message).toMatch(/main\.dump\.zst\.age: expected SHA-256 [0-9a-f]{64}, found SHA-256 /)
    expect(await bucket.keys()).toContainEqual(expect.stringMatching(/\/checks\/[^/]*-failed-/))
    expect(await json(["list"])).toMatchObject({ backups: [{ state: "failed" }] })
  })

  test("is good where it does", async () => {
    const scene = await setBackupScene()
    scene.bucket.endpoint.inject(damagesWhatIsRead(scene.bucket.endpoint))
    const failure = failureOfRun(await scene.run(["backup"]))
    expect(failure.kind).toBe("damaged")
    expect(failure.message).not.toContain("file:")
    await expectGood(scene, scene.storage)
  })

  test("since it can't be read exists, and ends with 4", async () => {
    const { bucket, run, json } = await setBackupScene()
    bucket.endpoint.inject(on("GetObject", denied))
    const failure = failureOfRun(await run(["backup"], { PGSTOW_STORAGE: bucket.storage }))
    expect(failure.kind).toBe("storage")
    expect(failure.message).toMatch(/: stored: could not be read back: .*: access denied/)
    expect(failure.hint).toContain("--no-verify")
    bucket.endpoint.inject()
    expect(await json(["list"])).toMatchObject({ backups: [{ state: "unverified" }] })
  })
})

/** Fails the test unless the storage alone holds a backup that can be opened and read to its end. */
async function expectGood({ json }: BackupScene, storage: string): Promise<void> {
  const verified = await json(["verify", "latest", "--deep"], { PGSTOW_STORAGE: storage })
  expect(verified).toMatchObject([{ kind: "deep-verified", problems: [] }])
}

/** Changes one byte of the dump the first time it is read. */
function damagesWhatIsRead(endpoint: S3Endpoint): Inject {
  let damaged = false
  return ({ operation, bucket, key }) => {
    const [file] = operation === "GetObject" && /main\.dump/.test(key) ? endpoint.filesOf(bucket, key) : []
    if (file === undefined || damaged) return undefined
    const fd = openSync(file, "r+")
    writeSync(fd, "X", 5_000)
    closeSync(fd)
    damaged = true
    return undefined
  }
}

/** A server that answers nobody and counts who comes; it goes when the test ends. */
async function listen(): Promise<{ readonly url: string; connections(): number }> {
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.destroy()
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  onTestFinished(() => void server.close())
  // A server that listens on a port has an address of this kind.
  const { port } = server.address() as AddressInfo
  return { url: `postgres://app@127.0.0.1:${port}/orders`, connections: () => connections }
}
