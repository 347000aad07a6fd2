import { expect, test } from "vitest"
import * as z from "zod"
import { sample } from "../legacy/samples.ts"
import { setScene } from "../support/scene.ts"
import { connectionTo, openTestSession } from "../support/session.ts"

const restored = z.object({ into: z.string() })

test("each restore without --into makes a database of its own, and leaves what another restore fills", async () => {
  const scene = await setScene()
  const { server, database } = scene
  await scene.json(["backup"])
  const restore = async (...flags: string[]) =>
    restored.parse(await scene.json(["restore", "latest", ...flags])).into
  const first = await restore()
  expect(first).toMatch(new RegExp(`^${database}_restored_\\d{12}$`))
  expect(await restore("--dry-run")).toBe(`${first}_2`)
  expect(await restore()).toBe(`${first}_2`)

  const unfinished = `incomplete_${first}_3`
  await server.psql(`CREATE DATABASE "${unfinished}"`)
  const filling = await openTestSession(server, connectionTo(server, unfinished))
  expect(await restore()).toBe(`${first}_4`)
  await filling.close()
  // What nobody fills any more goes.
  expect(await restore("--yes")).toBe(`${first}_3`)
  expect(await restore("--clean", "--yes")).toBe(first)
})

test("so does each restore of what was imported", async () => {
  const scene = await setScene()
  const name = `${scene.database}_older`
  await scene.json(["import", sample("sentinel_backup_20251215_163138.sql.gz"), "--name", name])
  const restore = async (...flags: string[]) =>
    restored.parse(await scene.json(["restore", "latest", "--database", name, ...flags])).into
  const first = await restore()
  expect(first).toMatch(new RegExp(`^${name}_restored_\\d{12}$`))
  expect(await restore("--dry-run")).toBe(`${first}_2`)
  expect(await restore()).toBe(`${first}_2`)
})
