import { execFile, execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import * as z from "zod"
import { cached } from "../support/s3-service.ts"

const source = join(import.meta.dirname, "compose-model")

const service = z.looseObject({
  image: z.string(),
  command: z.array(z.string()).nullable(),
  entrypoint: z.array(z.string()).nullable(),
  environment: z.record(z.string(), z.string()),
  healthcheck: z.looseObject({ test: z.array(z.string()) }).optional(),
})

const modelSchema = z.looseObject({ services: z.record(z.string(), service) })

export type ComposeModel = z.infer<typeof modelSchema>

/**
 * What Docker Compose makes of a compose file with these variables and profiles, by Compose's own loader, which is built
 * by Go once. Rejects with the loader's words where it refuses the file.
 */
export async function composeModel(
  file: string,
  variables: Readonly<Record<string, string>>,
  profiles = "",
): Promise<ComposeModel> {
  const program = await cached(`compose-model-${versionOf("main.go", "go.mod")}`, (folder) => {
    const env = { ...process.env, CGO_ENABLED: "0" }
    const output = join(folder, `compose-model-${versionOf("main.go", "go.mod")}`)
    execFileSync("go", ["build", "-C", source, "-o", output, "."], { env, stdio: "inherit" })
  })
  const env = { PATH: process.env.PATH, COMPOSE_PROFILES: profiles, ...variables }
  const { stdout } = await promisify(execFile)(program, [file], { env })
  return modelSchema.parse(JSON.parse(stdout))
}

function versionOf(...names: string[]): string {
  const hash = createHash("sha256")
  for (const name of names) hash.update(readFileSync(join(source, name)))
  return hash.digest("hex").slice(0, 12)
}
