import { readdir } from "node:fs/promises"
import { join, resolve } from "node:path"
import { expect, test } from "vitest"
import * as z from "zod"
import { settingNames } from "../../task/settings/config.ts"

/** Flags of a command's own that take the same values as the setting, and so may have its name. */
const alike = [
  "import.legacyKeyFile",
  "restore.legacyKeyFile",
  "restore.schema",
  "restore.table",
  "verify.all",
  "verify.legacyKeyFile",
]

test("a command's own flag has no setting's name, by whose rules it would be refused", async () => {
  const folder = resolve(import.meta.dirname, "../../task/commands")
  const found: string[] = []
  for (const file of await readdir(folder)) {
    const module: unknown = await import(join(folder, file))
    for (const command of Object.values(z.record(z.string(), z.unknown()).parse({ ...(module as object) }))) {
      const parsed = z.object({ name: z.string(), flags: z.instanceof(z.ZodObject) }).safeParse(command)
      if (!parsed.success) continue
      const { name, flags } = parsed.data
      found.push(...Object.keys(flags.shape).map((flag) => `${name}.${flag}`))
    }
  }
  expect(found.length).toBeGreaterThan(50)
  const shared = found.filter((flag) => settingNames.includes(flag.split(".")[1] ?? ""))
  expect(shared.toSorted()).toEqual(alike)
})
