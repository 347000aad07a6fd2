import { execFileSync, spawn } from "node:child_process"
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { text } from "node:stream/consumers"
import * as z from "zod"
import { stageImage } from "../../task/build/stage-image.ts"

export type Ran = { readonly exitCode: number | null; readonly stdout: string; readonly stderr: string }

/** The image of task/Dockerfile, built by buildah without Docker. */
export type BuiltImage = {
  /** What a container runtime is told: as whom to run what, in which environment. */
  readonly config: {
    readonly user: string
    readonly entryPoint: readonly string[]
    readonly env: readonly string[]
    readonly labels: Readonly<Record<string, string>>
    /** What Docker asks of a running container, and how often, in nanoseconds. */
    readonly healthcheck: z.infer<typeof healthcheckSchema>
  }
  /** Its files, where they can be looked at. */
  readonly files: string
  /**
   * Runs the image's entry point, or `instead`, as the image's user, with a read-only root, a /tmp of its own,
   * and this machine's network.
   */
  run(
    args: readonly string[],
    env?: Readonly<Record<string, string>>,
    instead?: readonly string[],
    /** @default the image's */
    user?: string,
  ): Promise<Ran>
  remove(): void
}

const cachedBase = "/var/tmp/pgstow-image-slim.tar"
const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
const weekMs = 7 * 24 * 60 * 60 * 1000

/**
 * @param certificate a file with a certificate that the image trusts where it would trust RDS's
 * @param target the stage of the Dockerfile to build; the last one unless given
 */
export function buildImage(certificate: string, target?: string): BuiltImage {
  const folder = mkdtempSync(join(tmpdir(), "pgstow-image-"))
  const remove = () => {
    // Mounted layers would keep the folder from going.
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    return build(folder, { certificate, target, remove })
  } catch (error) {
    remove()
    throw error
  }
}

function build(
  folder: string,
  {
    certificate,
    target,
    remove,
  }: { readonly certificate: string; readonly target: string | undefined; readonly remove: () => void },
): BuiltImage {
  const buildah = (...args: readonly string[]) =>
    output("buildah", [
      "--storage-driver",
      "vfs",
      "--root",
      join(folder, "images"),
      "--runroot",
      join(folder, "run"),
      ...args,
    ])
  /** An image of one layer: an archive, or a file at a place. */
  const imageOf = (name: string, source: string, place: string) => {
    const container = buildah("from", "scratch")
    buildah("add", "--quiet", container, source, place)
    // As the images say that these stand in for.
    buildah("config", "--env", `PATH=${path}`, container)
    buildah("commit", "--quiet", container, name)
    buildah("rm", container)
  }

  imageOf("localhost/base", debian(), "/")
  imageOf("localhost/node", resolve("node_modules/node/bin/node"), "/usr/local/bin/node")
  const context = join(folder, "context")
  mkdirSync(context)
  stageImage(context)
  copyFileSync(certificate, join(context, "certificates.pem"))
  writeFileSync(join(context, "pgdg.asc"), "")
  // PostgreSQL's own repository is replaced by Debian's packages, which have one major version.
  const buildArgs = {
    BASE_IMAGE: "localhost/base",
    NODE_IMAGE: "localhost/node",
    PGDG_URL: "",
    PGDG_KEY: "pgdg.asc",
    POSTGRES_MAJORS: "15",
    SERVER_PACKAGES: "postgresql-MAJOR-ip4r postgresql-MAJOR-there-is-none",
    RDS_CERTIFICATES: "certificates.pem",
    REBUILT: "today",
  }
  const given = Object.entries(buildArgs).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`])
  buildah(
    "bud",
    "--quiet",
    "--pull=false",
    "--isolation",
    "chroot",
    // As Docker makes it: OCI's own format has no health check.
    "--format",
    "docker",
    ...given,
    ...(target === undefined ? [] : ["--target", target]),
    "--tag",
    "localhost/pgstow",
    context,
  )

  const inspected: unknown = JSON.parse(buildah("inspect", "--type", "image", "localhost/pgstow"))
  const { User, Entrypoint, Env, Labels, Healthcheck } = inspectedSchema.parse(inspected).Docker.config
  const files = buildah("mount", buildah("from", "--pull-never", "localhost/pgstow"))
  const config = { user: User, entryPoint: Entrypoint, env: Env, labels: Labels, healthcheck: Healthcheck }
  return {
    config,
    files,
    remove,
    run: async (args, env = {}, instead = Entrypoint, user = User) => {
      const variables = [...Env, ...Object.entries(env).map(([name, value]) => `${name}=${value}`)]
      const command = ["env", "-i", ...variables, "chroot", `--userspec=${user}`, "/mnt", ...instead, ...args]
      const child = spawn("unshare", ["--mount", "/bin/sh", "-euc", readOnlyRoot, "sh", files, ...command], {
        stdio: ["ignore", "pipe", "pipe"],
      })
      const [stdout, stderr, exitCode] = await Promise.all([
        text(child.stdout),
        text(child.stderr),
        new Promise<number | null>((done, fail) => {
          child.once("error", fail)
          child.once("close", done)
        }),
      ])
      return { exitCode, stdout, stderr }
    },
  }
}

/** In mounts of its own: the image's files read-only at /mnt, with what a container has beside them. */
const readOnlyRoot = `
files=$1; shift
mount --bind "$files" /mnt
mount -o remount,bind,ro /mnt
mount -t tmpfs -o mode=1777 tmpfs /mnt/tmp
mount -t proc proc /mnt/proc
mount --bind /dev /mnt/dev
exec "$@"`

const healthcheckSchema = z.object({
  Test: z.array(z.string()),
  Interval: z.number(),
  Timeout: z.number(),
  Retries: z.number(),
})

const inspectedSchema = z.object({
  Docker: z.object({
    config: z.object({
      User: z.string(),
      Entrypoint: z.array(z.string()),
      Env: z.array(z.string()),
      Labels: z.record(z.string(), z.string()),
      Healthcheck: healthcheckSchema,
    }),
  }),
})

/** What Debian's image for containers leaves out, and so does the one that stands in for it. */
const slim = [
  ...["doc/*", "man/*", "locale/*", "info/*"].map((path) => `path-exclude=/usr/share/${path}`),
  "path-include=/usr/share/doc/*/copyright",
].map((option) => `--dpkgopt=${option}`)

/** An archive of a minimal Debian, made of its packages; kept for a week. */
function debian(): string {
  if (existsSync(cachedBase) && Date.now() - statSync(cachedBase).mtimeMs < weekMs) return cachedBase
  const file = `${cachedBase}.${process.pid}.tar`
  output("mmdebstrap", [
    "--quiet",
    "--variant=minbase",
    // In place of a package that moves folders, and brings Perl along.
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    "--include=ca-certificates,usr-is-merged",
    ...slim,
    "bookworm",
    file,
  ])
  renameSync(file, cachedBase)
  return cachedBase
}

function output(file: string, args: readonly string[]): string {
  return execFileSync(file, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim()
}
