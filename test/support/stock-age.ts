import { spawnSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { cached } from "./s3-service.ts"
import { goInstall } from "./versitygw.ts"

const version = "v1.3.2"

/** Whether this machine can build it: it is younger than what Debian has. */
export const canBuildStockAge = spawnSync("go", ["version"]).status === 0

/** The folder with `age` and `age-keygen` of a version that knows hybrid keys. Built once, by Go, and kept in the user's cache folder. */
export async function stockAge(): Promise<string> {
  const name = `age-${version}`
  return cached(name, (folder) => {
    const programs = join(folder, name)
    mkdirSync(programs)
    for (const program of ["age", "age-keygen"])
      goInstall(`filippo.io/age/cmd/${program}@${version}`, programs)
  })
}
