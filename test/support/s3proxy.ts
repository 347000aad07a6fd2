import { execFileSync } from "node:child_process"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { freePort } from "./postgres.ts"
import { cached, createBucket, newKeys, type S3Service, startS3Program } from "./s3-service.ts"

const jar = "s3proxy-4.1.0-jar-with-dependencies.jar"

/**
 * Starts S3Proxy, which verifies signatures and checksums and is of another family than versitygw: Java, on a store of
 * its own (https://github.com/gaul/s3proxy). Its jar is brought once, by Maven, and kept in the user's cache folder.
 *
 * @param folder where it keeps what it has; an empty one
 * @param bucket the bucket's name
 */
export async function startS3Proxy(folder: string, bucket: string): Promise<S3Service> {
  const path = await cached(jar, copyJar)
  const url = `http://127.0.0.1:${await freePort()}`
  const keys = newKeys()
  const data = join(folder, "data")
  await mkdir(data)
  const properties = join(folder, "s3proxy.conf")
  await writeFile(
    properties,
    [
      `s3proxy.endpoint=${url}`,
      "s3proxy.authorization=aws-v2-or-v4",
      `s3proxy.identity=${keys.accessKeyId}`,
      `s3proxy.credential=${keys.secretAccessKey}`,
      "jclouds.provider=filesystem-nio2",
      `jclouds.filesystem.basedir=${data}`,
    ].join("\n"),
  )
  const args = ["-Xmx256m", "-jar", path, "--properties", properties]
  const stop = await startS3Program("S3Proxy", url, { file: "java", args })
  const service = { url, ...keys, stop }
  await createBucket(service, bucket)
  return service
}

function copyJar(folder: string): void {
  const artifact = "-Dartifact=org.gaul:s3proxy:4.1.0:jar:jar-with-dependencies"
  const args = ["--quiet", "dependency:copy", artifact, `-DoutputDirectory=${folder}`]
  execFileSync("mvn", args, { cwd: folder, stdio: ["ignore", "inherit", "inherit"] })
}
