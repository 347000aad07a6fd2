import { globSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import * as z from "zod"
import { compareDatabases } from "../support/compare-databases.ts"
import { drillOf, setDrillScene } from "../support/drill-scene.ts"
import { notRun } from "../support/not-run.ts"
import { run } from "../support/programs.ts"
import { majors } from "../support/shared-postgres.ts"
import { bringApplication } from "./bring-application.ts"

const require = createRequire(import.meta.url)

/** Job queues as their makers publish them, with some jobs. */
const applications = [
  {
    name: "graphile-worker",
    version: "0.17.3",
    sha256: "e856732cba70f43083a2254dd79e5a659be80c2429bf922e6fa2acf78e6e52ea",
    from: "npm",
    schema: (folder: string) => {
      const files = globSync(join(folder, "sql/*.sql")).toSorted()
      const sql = files.map((file) => `BEGIN; ${readFileSync(file, "utf8")}; COMMIT;`).join("\n")
      return `CREATE SCHEMA worker; ${sql.replaceAll(":GRAPHILE_WORKER_SCHEMA", "worker")}`
    },
    rows: `SELECT worker.add_job('mail', json_build_object('n', n), queue_name := 'q' || n % 3, job_key := 'k' || n)
             FROM generate_series(1, 500) n`,
    count: "SELECT count(*) FROM worker.jobs",
  },
  {
    name: "pg-boss",
    version: "10.4.2",
    sha256: "a84e60bf17785085693fdbbca7a669adbe8f585d368f46624002b49bcec15f12",
    from: "npm",
    schema: (folder: string) => {
      const plans = z
        .object({ create: z.function({ input: [z.string(), z.int()], output: z.string() }) })
        .parse(require(join(folder, "src/plans.js")))
      return plans.create("boss", 24)
    },
    rows: `SELECT boss.create_queue('mail', '{"policy": "standard"}'), boss.create_queue('Éxport "x"', '{"policy": "stately"}');
           INSERT INTO boss.job (name, data) SELECT 'mail', jsonb_build_object('n', n) FROM generate_series(1, 500) n`,
    count: "SELECT count(*) FROM boss.job",
  },
  {
    name: "procrastinate",
    version: "3.10.0",
    sha256: "949ad25b4377c30e03a9d0e053d15dfa47ef02b3f12ae8a7f3254686183c152c",
    from: "pip",
    schema: (folder: string) => readFileSync(join(folder, "procrastinate/sql/schema.sql"), "utf8"),
    rows: `INSERT INTO procrastinate_jobs (queue_name, task_name, args, lock) SELECT 'q', 'mail', jsonb_build_object('n', n), 'l' || n
             FROM generate_series(1, 500) n;
           UPDATE procrastinate_jobs SET status = 'doing' WHERE id % 5 = 0;
           UPDATE procrastinate_jobs SET status = 'succeeded' WHERE id % 10 = 0`,
    count: "SELECT count(*) FROM procrastinate_jobs",
  },
] as const

describe.for(applications)("the database of $name", (application) => {
  const { name, version, schema, rows, count } = application
  const folder = bringApplication(application)
  const missing = notRun(folder !== undefined, `its package can't be had here`)

  test.skipIf(missing).for(majors)(
    `${version} comes back as with pg_dump and pg_restore, with PostgreSQL %i${missing}`,
    async (major) => {
      const scene = await setDrillScene(major)
      const { server, database } = scene
      await server.psql(schema(folder ?? ""), database)
      await server.psql(rows, database)
      expect(await server.psql(count, database), name).toBe("500")
      await scene.json(["backup", "--jobs", "2"])
      const into = `${database}_copy`
      await scene.json(["restore", "latest", "--into", into, "--jobs", "2"])
      // pg_dump of 18 gives some constraints other names.
      const stock = await server.createDatabase(`${database}_stock`)
      const dump = join(scene.folder, "dump")
      const connected = (to: string) => [
        "-d",
        `host=${server.socketDir} port=${server.port} user=postgres dbname=${to}`,
      ]
      run(join(server.binDir, "pg_dump"), [...connected(database), "-Fc", "-Z0", "-f", dump])
      run(join(server.binDir, "pg_restore"), [...connected(stock), dump])
      expect(await compareDatabases({ server, name: stock }, { server, name: into })).toEqual([])
      expect(await drillOf(scene)).toMatchObject({ kind: "drilled", problems: [] })
    },
  )
})
