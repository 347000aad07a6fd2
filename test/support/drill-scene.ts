import { readdirSync } from "node:fs"
import { chmod, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { expect } from "vitest"
import type { ShowResult } from "../../task/catalog/show.ts"
import type { Manifest } from "../../task/core/manifest.ts"
import type { DrillResult } from "../../task/drill/drill.ts"
import { processesNaming } from "./processes.ts"
import { type Scene, setScene } from "./scene.ts"

/** A scene whose folder another user may pass through, as that of a server has to be. */
export async function setDrillScene(from?: Parameters<typeof setScene>[0]): Promise<Scene> {
  const scene = await setScene(from)
  if (process.getuid?.() === 0) await chmod(scene.folder, 0o711)
  return scene
}

/** What the program says in JSON. Fails the test unless it exits so. */
export async function drillOf(
  scene: Scene,
  args: readonly string[] = [],
  exitCode = 0,
  env: Readonly<Record<string, string>> = {},
): Promise<DrillResult> {
  const finished = await scene.run(["drill", ...args, "--json"], env)
  expect(finished.exitCode, finished.stdout + finished.stderr).toBe(exitCode)
  // The program's own words, of which the tests look at what they need.
  return JSON.parse(finished.stdout) as DrillResult
}

/** Fails the test where there is more in the scene's folder than before a drill, or a server runs there. */
export function expectNothingLeft(scene: Scene, others: readonly string[] = []): void {
  expect(readdirSync(scene.folder).sort()).toEqual(["backups", ...others].sort())
  expect(processesNaming(scene.folder).filter(({ name }) => name !== "node")).toEqual([])
}

export const checksOf = async (scene: Scene) => ((await scene.json(["show", "latest"])) as ShowResult).checks

/** Changes the manifest that is stored, without a signature to keep anybody from it. */
export async function editManifest(
  scene: Scene,
  edit: (manifest: Manifest, folder: string) => Manifest | Promise<Manifest>,
) {
  const [database = ""] = readdirSync(join(scene.folder, "backups"))
  const [id = ""] = readdirSync(join(scene.folder, "backups", database))
  const folder = join(scene.folder, "backups", database, id)
  const file = join(folder, "manifest.json")
  const manifest = JSON.parse(await readFile(file, "utf8")) as Manifest
  await writeFile(file, JSON.stringify(await edit(manifest, folder)))
}
