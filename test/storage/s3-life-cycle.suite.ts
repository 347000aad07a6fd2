// Run by test/support/independent-s3.ts, and not by `npm test`: it needs services that nobody here wrote.
import { describe, expect, onTestFinished, test } from "vitest"
import { openStorage } from "../../task/storage/open-storage.ts"
import { compareDatabases } from "../support/compare-databases.ts"
import { holdDump } from "../support/held-dump.ts"
import { s3Services } from "../support/s3-services.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { setScene } from "../support/scene.ts"
import { keysOf } from "../support/storage-contents.ts"

describe.each(s3Services)("on $name", ({ url, accessKeyId, secretAccessKey }) => {
  test("backups are made, listed, verified, restored as they were, survive a kill, and go", async () => {
    const scene = await setScene()
    const { server, database } = scene
    await fillSampleDatabase(server, database, { megabytes: 5 })
    // Stored in several parts, and large enough for a stream of its own.
    await server.psql(
      `CREATE TABLE noise (id int, bytes bytea);
       INSERT INTO noise SELECT i, pg_read_binary_file('/dev/urandom', 0, 32000) FROM generate_series(1, 700) i`,
      database,
    )
    const storage = `s3://backups/life?endpoint=${url}`
    const env = {
      PGSTOW_STORAGE: storage,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
    }
    const verified = { storages: [{ storage, state: "verified", error: null }] }
    expect(await scene.json(["backup", "--jobs", "2"], env)).toMatchObject(verified)
    expect(await scene.json(["backup", "--jobs", "2"], env)).toMatchObject(verified)
    expect(await scene.json(["list"], env)).toMatchObject({ backups: [{ database }, { database }] })
    await scene.json(["verify", "latest"], env)
    await scene.json(["verify", "latest", "--deep"], env)

    const into = `${database}_restored`
    await scene.json(["restore", "latest", "--into", into], env)
    expect(await compareDatabases({ server, name: database }, { server, name: into })).toEqual([])

    const held = await holdDump(server, database)
    const killed = scene.start(["backup", "--jobs", "2"], env)
    await held.reached()
    killed.killAll("SIGKILL")
    await killed.finished.catch(() => {})
    await held.release()
    const heldAgain = await holdDump(server, database)
    const interrupted = scene.start(["backup", "--jobs", "2"], env)
    await heldAgain.reached()
    interrupted.kill("SIGINT")
    expect((await interrupted.finished).exitCode).toBe(130)
    await heldAgain.release()

    await scene.json(["verify", "latest"], env)
    await scene.json(["cleanup", "--keep-last", "1"], env)
    expect(await scene.json(["list"], env)).toMatchObject({ backups: [{ database }] })
    await scene.json(["verify", "latest"], env)
    const bucket = openStorage(storage, { env })
    onTestFinished(() => bucket.close())
    const manifests = (await keysOf(bucket)).filter((key) => key.endsWith("/manifest.json"))
    expect(manifests).toHaveLength(1)
    // Of what the kill left, cleanup takes the upload after two days.
    const inThreeDays = new Date(Date.now() + 3 * 24 * 3_600_000)
    const left = await bucket.removeStaleUploads("", inThreeDays)
    expect(left).toBeLessThanOrEqual(4)
    expect(await bucket.removeStaleUploads("", inThreeDays)).toBe(left === undefined ? undefined : 0)
  })
})
