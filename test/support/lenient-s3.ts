import { renameSync } from "node:fs"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { freePort } from "./postgres.ts"
import { pythonTools } from "./python-tools.ts"
import { cached, createBucket, newKeys, type S3Service, startS3Program } from "./s3-service.ts"
import { goInstall } from "./versitygw.ts"

type Start = (folder: string, bucket: string) => Promise<S3Service>

/**
 * Services that nobody here wrote, by name. They believe any secret, or any checksum, so that they prove less than those
 * of CI; what they tell is whether pgstow gets on with them. Each is brought when it is first started.
 */
export const lenientS3: Readonly<Record<string, Start>> = {
  moto: async (_, bucket) => {
    const port = await freePort()
    const file = join(pythonTools(["moto[server]==5.2.1"]), "moto_server")
    return withBucket("moto", port, { file, args: ["-H", "127.0.0.1", "-p", `${port}`] }, bucket)
  },

  gofakes3: async (_, bucket) => {
    const port = await freePort()
    const file = await built("gofakes3", "github.com/johannesboyne/gofakes3/cmd/gofakes3", "v1.2.0")
    return withBucket(
      "gofakes3",
      port,
      { file, args: ["-backend", "memory", "-host", `127.0.0.1:${port}`] },
      bucket,
    )
  },

  rclone: async (folder, bucket) => {
    const port = await freePort()
    const file = await built("rclone", "github.com/rclone/rclone", "v1.76.0")
    const keys = newKeys()
    const url = `http://127.0.0.1:${port}`
    await mkdir(join(folder, bucket))
    const auth = ["--auth-key", `${keys.accessKeyId},${keys.secretAccessKey}`]
    const args = ["serve", "s3", folder, "--addr", `127.0.0.1:${port}`, ...auth]
    const stop = await startS3Program("rclone", url, {
      file,
      args,
      env: { RCLONE_CONFIG: join(folder, "none") },
    })
    return { url, ...keys, stop }
  },
}

async function withBucket(
  name: string,
  port: number,
  program: { readonly file: string; readonly args: readonly string[] },
  bucket: string,
): Promise<S3Service> {
  const url = `http://127.0.0.1:${port}`
  const stop = await startS3Program(name, url, program)
  const service = { url, ...newKeys(), stop }
  try {
    await createBucket(service, bucket)
  } catch (error) {
    await stop()
    throw error
  }
  return service
}

function built(name: string, module: string, version: string): Promise<string> {
  return cached(`${name}-${version}`, (folder) => {
    goInstall(`${module}@${version}`, folder)
    renameSync(join(folder, name), join(folder, `${name}-${version}`))
  })
}
