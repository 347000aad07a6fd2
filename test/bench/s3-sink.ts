// An S3 endpoint over TLS that keeps what it gets in a folder: `node s3-sink.ts FOLDER`. Prints how to reach it.
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { startS3Endpoint } from "../support/s3-endpoint.ts"
import { untilStopped } from "./service.ts"

const [folder = "."] = process.argv.slice(2)
const endpoint = await startS3Endpoint({ folder: join(folder, "objects"), buckets: ["bench"], tls: true })
const certificate = join(folder, "s3.crt")
await writeFile(certificate, endpoint.certificate ?? "")
console.log(
  JSON.stringify({
    PGSTOW_STORAGE: `s3://bench/pgstow?endpoint=${endpoint.url}`,
    NODE_EXTRA_CA_CERTS: certificate,
    AWS_ACCESS_KEY_ID: endpoint.accessKeyId,
    AWS_SECRET_ACCESS_KEY: endpoint.secretAccessKey,
  }),
)
await untilStopped()
await endpoint.close()
