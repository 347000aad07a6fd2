import { readdir } from "node:fs/promises"
import { expect } from "vitest"
import { type Bucket, setBucket } from "./bucket.ts"
import type { PostgresServer } from "./postgres.ts"
import { expectNoBackup, type Scene, setScene } from "./scene.ts"

/** A scene with a database that has rows, and two storages: a directory and a bucket. */
export type BackupScene = Scene & {
  readonly bucket: Bucket
  /** Fails the test where the program has left anything in the storages, or anywhere else where it may write. */
  readonly expectNothing: () => Promise<void>
}

/** Sets such a scene. Its rows do not compress well: some 9 MiB, two parts in the bucket, are stored of them. */
export async function setBackupScene(server?: PostgresServer): Promise<BackupScene> {
  const scene = await setScene(server)
  const bucket = await setBucket()
  await scene.server.psql(
    `CREATE TABLE rows (id int, noise bytea);
     INSERT INTO rows SELECT i, pg_read_binary_file('/dev/urandom', 0, 32000) FROM generate_series(1, 300) i`,
    scene.database,
  )
  const env = { ...scene.env, ...bucket.env, PGSTOW_STORAGE: `${scene.storage} ${bucket.storage}` }
  const run: Scene["run"] = (args, more) => scene.run(args, { ...env, ...more })
  return {
    ...scene,
    env,
    run,
    expectNoBackup: expectNoBackup(run),
    start: (args, more) => scene.start(args, { ...env, ...more }),
    json: (args, more) => scene.json(args, { ...env, ...more }),
    bucket,
    expectNothing: async () => {
      expect(await bucket.keys()).toEqual([])
      expect(bucket.endpoint.openUploads()).toEqual([])
      const files = await readdir(scene.folder, { recursive: true, withFileTypes: true })
      expect(files.filter((file) => file.isFile()).map(({ name }) => name)).toEqual([])
    },
  }
}
