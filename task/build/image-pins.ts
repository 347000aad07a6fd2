import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { promisify } from "node:util"
import * as z from "zod"

/**
 * Moves the pins of a Dockerfile, the first argument, to what is there today, by asking Docker or what stands in for it,
 * the second: `npm run image:pins`. An image that is named by an ARG …_IMAGE gets the digest that its tag has now, and a file that is added
 * from the URL of an ARG the checksum that it has now, in the ARG of the same name with _SHA256 behind it.
 */

const run = promisify(execFile)
const [, , file = "task/Dockerfile", docker = "docker"] = process.argv

const manifestSchema = z.object({ digest: z.string().regex(/^sha256:[0-9a-f]{64}$/) })

/** The digest of what a tag stands for: of the list, where there is one image for each processor. */
async function digestOf(image: string): Promise<string> {
  const args = ["buildx", "imagetools", "inspect", image, "--format", "{{json .Manifest}}"]
  const { stdout } = await run(docker, args)
  return manifestSchema.parse(JSON.parse(stdout)).digest
}

async function checksumOf(url: string): Promise<string> {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url} was answered ${response.status}`)
  return createHash("sha256")
    .update(new Uint8Array(await response.arrayBuffer()))
    .digest("hex")
}

const before = readFileSync(file, "utf8")
let after = before
for (const [line, name = "", value = ""] of before.matchAll(/^ARG (\w+)=(\S+)$/gm)) {
  if (name.endsWith("_IMAGE")) {
    const tag = value.replace(/@sha256:.*$/, "")
    after = after.replace(line, `ARG ${name}=${tag}@${await digestOf(tag)}`)
  }
  const checksum = new RegExp(`^ARG ${name}_SHA256=.*$`, "m")
  if (checksum.test(after)) after = after.replace(checksum, `ARG ${name}_SHA256=${await checksumOf(value)}`)
}
writeFileSync(file, after)
for (const line of after.split("\n"))
  if (line.startsWith("ARG ") && !before.includes(line)) process.stdout.write(`${line}\n`)
