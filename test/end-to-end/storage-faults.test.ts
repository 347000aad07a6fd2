import { closeSync, openSync, writeSync } from "node:fs"
import { readdir } from "node:fs/promises"
import { describe, expect, test } from "vitest"
import { type BackupScene, setBackupScene } from "../support/backup-scene.ts"
import { needsMount, smallDisk } from "../support/disk.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { freePort } from "../support/postgres.ts"
import type { Inject, S3Endpoint } from "../support/s3-endpoint.ts"

const denied = { status: 403, code: "AccessDenied" } as const
const impatient = { PGSTOW_STORAGE_TIMEOUT: "1" }

function on(operation: string, fault: ReturnType<Inject>): Inject {
  return (request) => (request.operation === operation ? fault : undefined)
}

const refusesManifest: Inject = ({ key }) => (key.endsWith("/manifest.json") ? denied : undefined)

describe("a backup whose only storage fails does not exist, and ends with 4", () => {
  test.each<[string, Inject, string]>([
    ["refuses everything", () => denied, "access denied"],
    ["is always overloaded", () => ({ status: 503, code: "ServiceUnavailable" }), "it is overloaded"],
    ["breaks the connection midway", on("UploadPart", "break"), "broke the connection"],
    ["hangs midway", on("UploadPart", "hang"), "does not answer"],
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

  test("where a bucket is missing", async () => {
    const { bucket, run, expectNothing } = await setBackupScene()
    const storage = bucket.storage.replace("backups", "elsewhere")
    const failure = failureOfRun(await run(["backup"], { PGSTOW_STORAGE: storage }))
    expect(failure.kind).toBe("storage")
    expect(failure.message).toContain(`${bucket.endpoint.url} has no bucket elsewhere`)
    await expectNothing()
  })

  test("where nothing listens at a bucket's endpoint", async () => {
    const { bucket, run, expectNothing } = await setBackupScene()
    const endpoint = `http://127.0.0.1:${await freePort()}`
    const storage = bucket.storage.replace(bucket.endpoint.url, endpoint)
    const failure = failureOfRun(await run(["backup"], { PGSTOW_STORAGE: storage }))
    expect(failure.kind).toBe("storage")
    expect(failure.message).toContain(`${endpoint} refuses connections`)
    await expectNothing()
  })

  test("where a bucket refuses the manifest, and what it holds is no backup", async () => {
    const { bucket, run, json } = await setBackupScene()
    bucket.endpoint.inject(refusesManifest)
    const failure = failureOfRun(await run(["backup"], { PGSTOW_STORAGE: bucket.storage }))
    expect(failure.kind).toBe("storage")
    expect(failure.message).toMatch(/^cannot write \S+\/manifest\.json in s3:.*: access denied/)
    expect(await bucket.keys()).not.toContainEqual(expect.stringContaining("manifest"))
    expect(await json(["list"])).toMatchObject({ backups: [] })
  })

  test.skipIf(needsMount)(`where a directory's disk is full${needsMount}`, async () => {
    const { run } = await setBackupScene()
    const disk = await smallDisk()
    const failure = failureOfRun(await run(["backup"], { PGSTOW_STORAGE: `file://${disk}` }))
    expect(failure.kind).toBe("storage")
    expect(failure.message).toMatch(/^cannot write \S+\/main\.dump\.zst\.age in file:.*: the disk is full/)
    expect(await readdir(disk)).toEqual([])
  })
})

describe("a backup one of whose two storages fails is whole in the other, and ends with 5", () => {
  test.each<[string, Inject, string]>([
    ["refuses everything", () => denied, "access denied"],
    ["breaks the connection midway", on("UploadPart", "break"), "broke the connection"],
    ["hangs midway", on("UploadPart", "hang"), "does not answer"],
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
      storages: [{ storage: scene.storage, state: "verified" }, { state: "failed" }],
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
    expect(failure.message).toContain(`file://${disk}: failed: `)
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
