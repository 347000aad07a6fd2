import { existsSync, readdirSync } from "node:fs"
import { chmod, mkdir } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, test } from "vitest"
import { checksOf, expectNothingLeft, setDrillScene } from "../support/drill-scene.ts"
import { logOf } from "../support/failure-line.ts"
import { processesNaming } from "../support/processes.ts"
import type { Scene } from "../support/scene.ts"

/** A backup whose restore, or comparison, waits in the database of a drill. */
async function heldScene(
  where: "restore" | "comparison",
): Promise<{ scene: Scene; reached: () => Promise<void> }> {
  const scene = await setDrillScene()
  const signs = join(scene.folder, "signs")
  await mkdir(signs)
  await chmod(signs, 0o777)
  const sign = join(signs, "reached")
  await scene.server.psql(
    where === "restore"
      ? `CREATE FUNCTION slow(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
           BEGIN IF current_database() ~ 'pgstow_drill' THEN PERFORM pg_sleep(60); END IF; RETURN i; END $$;
         CREATE TABLE t AS SELECT 1 AS i; CREATE INDEX ON t (slow(i))`
      : `CREATE FUNCTION slow() RETURNS int LANGUAGE plpgsql AS $$
           BEGIN
             IF current_database() ~ 'pgstow_drill' THEN
               COPY (SELECT 1) TO '${sign}'; PERFORM pg_sleep(60);
             END IF;
             RETURN 1;
           END $$;
         CREATE VIEW v AS SELECT slow()`,
    scene.database,
  )
  await scene.json(["backup", "--no-verify"])
  const isReached = () =>
    where === "comparison"
      ? existsSync(sign)
      : processesNaming("pgstow_drill_").some(({ args }) => args.join(" ").includes("CREATE INDEX"))
  return {
    scene,
    reached: async () => {
      while (!isReached()) await sleep(50)
    },
  }
}

describe.for(["restore", "comparison"] as const)("in the middle of the %s", (where) => {
  test.for(["SIGTERM", "SIGINT", "SIGKILL"] as const)(
    "%s leaves no server, no folder and no finding",
    async (signal) => {
      const { scene, reached } = await heldScene(where)
      const running = scene.start(["drill"])
      const ended = running.finished.then(({ stderr }) => {
        throw new Error(`it ended before it was there: ${stderr}`)
      })
      ended.catch(() => {})
      await Promise.race([reached(), ended])
      const begunAt = performance.now()
      if (signal === "SIGKILL") running.killAll(signal)
      else running.kill(signal)
      const { exitCode, stderr } = await running.finished
      expect(exitCode).toBe({ SIGTERM: 143, SIGINT: 130, SIGKILL: 137 }[signal])
      if (signal !== "SIGKILL") {
        // It would sleep for a minute.
        expect(performance.now() - begunAt).toBeLessThan(30_000)
        expect(logOf(stderr).filter(({ level }) => level === "error")).toHaveLength(1)
      }
      // What is killed is cleared away by another process, which takes a moment.
      const isLeft = () =>
        processesNaming(scene.folder).some(({ name }) => name !== "node") ||
        readdirSync(scene.folder).some((name) => name.startsWith("pgstow-"))
      if (signal === "SIGKILL") while (isLeft()) await sleep(50)
      expectNothingLeft(scene, ["signs"])
      expect(await checksOf(scene)).toEqual([])
    },
  )
})
