import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { promisify } from "node:util"
import * as z from "zod"
import { messageOf, PgstowError } from "../errors.ts"

/**
 * Moves the pins of a Dockerfile, the first argument, to what is there today, by asking Docker or what stands in for it,
 * the second: `npm run image:pins`. An image that is named by an ARG …_IMAGE gets the digest that its tag has now, and a file that is added
 * from the URL of an ARG the checksum that it has now, in the ARG of the same name with _SHA256 behind it. Where one of
 * them can't be found out, nothing is changed.
 */

const run = promisify(execFile)
const [, , file = "task/Dockerfile", docker = "docker"] = process.argv

const manifestSchema = z.object({ digest: z.string().regex(/^sha256:[0-9a-f]{64}$/) })
const failureSchema = z.object({ code: z.union([z.string(), z.number()]), stderr: z.string().default("") })

/** The digest of what a tag stands for: of the list, where there is one image for each processor. */
async function digestOf(image: string): Promise<string> {
  const args = ["buildx", "imagetools", "inspect", image, "--format", "{{json .Manifest}}"]
  try {
    const { stdout } = await run(docker, args)
    return manifestSchema.parse(JSON.parse(stdout)).digest
  } catch (failure) {
    const { code, stderr } = failureSchema
      .catch({ code: "", stderr: "no digest in its answer" })
      .parse(failure)
    const said = code === "ENOENT" ? "there is no such program" : stderr.trim().split("\n")[0]
    throw new PgstowError("unexpected", `${docker} can't tell the digest of ${image}: ${said}`, {
      hint: "This takes Docker with buildx, or what CDK_DOCKER names in its place, and a way to the registry.",
    })
  }
}

async function checksumOf(url: string): Promise<string> {
  const failed = (why: string, cause?: unknown) =>
    new PgstowError("unexpected", `${url} can't be fetched${why}`, {
      cause,
      hint: "Try again where the internet is reached.",
    })
  const response = await fetch(url).catch((cause: unknown) => {
    throw failed("", cause)
  })
  if (!response.ok) throw failed(`: it was answered ${response.status}`)
  return createHash("sha256")
    .update(new Uint8Array(await response.arrayBuffer()))
    .digest("hex")
}

try {
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
} catch (error) {
  if (!(error instanceof PgstowError)) throw error
  process.stderr.write(`${messageOf(error)}\n${error.hint ?? ""}\nNothing in ${file} was changed.\n`)
  process.exitCode = error.exitCode
}
