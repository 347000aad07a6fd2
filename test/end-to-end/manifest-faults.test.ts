import { closeSync, openSync, writeSync } from "node:fs"
import { describe, expect, test } from "vitest"
import { exitCodes } from "../../task/errors.ts"
import { setBackupScene } from "../support/backup-scene.ts"
import { type FailureLine, failureOfRun } from "../support/failure-line.ts"
import type { Inject, S3Endpoint } from "../support/s3-endpoint.ts"

const taken = { status: 412, code: "PreconditionFailed" } as const
const denied = { status: 403, code: "AccessDenied" } as const

/** Goes wrong with each try to store the manifest, counted from 0, as `fault` says. */
function onManifest(fault: (attempt: number, key: string) => ReturnType<Inject>): Inject {
  let attempts = 0
  return ({ operation, key }) =>
    operation === "PutObject" && key.endsWith("/manifest.json") ? fault(attempts++, key) : undefined
}

/** As where the machine that backs up may store, and neither read nor list. */
function unreadable(inject: Inject): Inject {
  return (request) =>
    ["GetObject", "HeadObject", "ListObjectsV2"].includes(request.operation) ? denied : inject(request)
}

/** Puts what is not a manifest of ours in its place. */
function overwrite(endpoint: S3Endpoint, key: string): void {
  const [file = ""] = endpoint.filesOf("backups", key)
  const fd = openSync(file, "r+")
  writeSync(fd, "theirs", 0)
  closeSync(fd)
}

async function failWith(inject: (endpoint: S3Endpoint) => Inject, args: readonly string[] = []) {
  const { bucket, run } = await setBackupScene()
  bucket.endpoint.inject(inject(bucket.endpoint))
  const finished = await run(["backup", "--json", ...args], { PGSTOW_STORAGE: bucket.storage })
  const failure: FailureLine = failureOfRun(finished)
  expect(finished.stdout + finished.stderr).not.toContain("verified")
  bucket.endpoint.inject()
  const listed = await run(["list", "--json"], { PGSTOW_STORAGE: bucket.storage })
  if (listed.exitCode === exitCodes.notFound) return { failure, backups: [] }
  const { backups } = JSON.parse(listed.stdout) as { backups: readonly { state: string }[] }
  return { failure, backups }
}

describe("a manifest that is refused since there is one already", () => {
  test("though nothing is there, makes no backup, and ends with 4", async () => {
    const { failure, backups } = await failWith(() => onManifest(() => taken))
    expect(failure).toMatchObject({ kind: "storage" })
    expect(failure.message).toMatch(/^cannot write \S+\/manifest\.json in s3:/)
    expect(backups).toEqual([])
  })

  test("by somebody else, is not taken for ours", async () => {
    const { failure } = await failWith((endpoint) =>
      onManifest((attempt, key) => {
        if (attempt === 1) overwrite(endpoint, key)
        return attempt === 0 ? "lose-answer" : undefined
      }),
    )
    expect(failure).toMatchObject({ kind: "storage" })
    expect(failure.message).toMatch(/^s3:\S+ already has an object \S+\/manifest\.json$/)
  })

  test("by us, when its answer was lost, is a good backup", async () => {
    const { bucket, json } = await setBackupScene()
    bucket.endpoint.inject(onManifest((attempt) => (attempt === 0 ? "lose-answer" : undefined)))
    const result = await json(["backup"], { PGSTOW_STORAGE: bucket.storage })
    expect(result).toMatchObject({ storages: [{ state: "verified" }] })
  })
})

describe("where the manifest can't be read", () => {
  test("one that is refused at once, again and again, is not ours", async () => {
    const { failure, backups } = await failWith(() => unreadable(onManifest(() => taken)), ["--no-verify"])
    expect(failure).toMatchObject({ kind: "storage" })
    expect(failure.message).toMatch(/ already has an object \S+\/manifest\.json$/)
    expect(backups).toEqual([])
  })

  test("one that is refused after its answer was lost is ours", async () => {
    const { bucket, json } = await setBackupScene()
    bucket.endpoint.inject(unreadable(onManifest((attempt) => (attempt === 0 ? "lose-answer" : undefined))))
    const result = await json(["backup", "--no-verify"], { PGSTOW_STORAGE: bucket.storage })
    expect(result).toMatchObject({ storages: [{ state: "stored", error: null }] })
    bucket.endpoint.inject()
    expect(await json(["verify", "latest"])).toMatchObject([{ kind: "verified" }])
  })
})

describe("a manifest that a storage says it took", () => {
  test("and did not keep makes no backup, and ends with 4", async () => {
    const { failure, backups } = await failWith(() => onManifest(() => "swallow"))
    expect(failure).toMatchObject({ kind: "storage" })
    expect(failure.message).toMatch(/: missing: it took the manifest and does not have it$/)
    expect(backups).toEqual([])
  })

  test("and cut short is damaged, and ends with 6", async () => {
    const { failure, backups } = await failWith(() => onManifest(() => "truncate"))
    expect(failure).toMatchObject({ kind: "damaged" })
    expect(failure.message).toMatch(/: damaged: manifest\.json: expected \d+ bytes, found \d+ bytes/)
    expect(backups).toMatchObject([{ state: "failed" }])
  })

  test("and changed is damaged, and ends with 6", async () => {
    let stored: string | undefined
    const { failure, backups } = await failWith((endpoint) => ({ operation, key }) => {
      if (!key.endsWith("/manifest.json")) return undefined
      if (operation === "GetObject" && stored === undefined) overwrite(endpoint, key)
      if (operation === "GetObject") stored = key
      return undefined
    })
    expect(failure).toMatchObject({ kind: "damaged" })
    expect(failure.message).toMatch(/: damaged: manifest\.json: expected SHA-256 \w+, found SHA-256 \w+/)
    expect(backups).toMatchObject([{ state: "failed" }])
  })
})
