import { describe, expect, onTestFinished, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { startS3Endpoint } from "../support/s3-endpoint.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { setScene } from "../support/scene.ts"
import { newestMajor } from "../support/shared-postgres.ts"

describe.each(newestMajor)("on PostgreSQL %i", (major) => {
  test("a backup in a directory and in S3 comes back from either as it was", async () => {
    const scene = await setScene(major)
    const { server, database, storage } = scene
    await fillSampleDatabase(server, database, { megabytes: 5 })
    const s3 = await startS3Endpoint({ buckets: ["backups"] })
    onTestFinished(() => s3.close())
    const bucket = `s3://backups/nightly?endpoint=${s3.url}`
    const env = {
      PGSTOW_STORAGE: `${storage} ${bucket}`,
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    }
    expect(await scene.json(["backup"], env)).toMatchObject({
      database,
      storages: [
        { storage, state: "verified", error: null },
        { storage: bucket, state: "verified", error: null },
      ],
    })
    for (const [index, from] of [storage, bucket].entries()) {
      const into = `${database}_restored_${index}`
      await scene.json(["restore", "latest", "--into", into], { ...env, PGSTOW_STORAGE: from })
      expect(await compareDatabases({ server, name: database }, { server, name: into })).toEqual([])
    }
  })
})
