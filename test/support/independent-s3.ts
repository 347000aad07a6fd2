// Holds pgstow's S3 storage, and with it the contract that our own endpoint is held to, against an S3 service
// that nobody here wrote: versitygw, which verifies signatures and checksums. It is built once, by Go, and kept
// in the user's cache folder.
//
// moto was tried as well: it passes all but one (it says of every upload that it began in 2010), but it believes
// any secret and any checksum, so it proves less.
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseCLI, startVitest } from "vitest/node"
import { startVersitygw } from "./versitygw.ts"

const folder = await mkdtemp(join(tmpdir(), "pgstow-independent-s3-"))
const server = await startVersitygw(folder, "backups")
process.env.AWS_ACCESS_KEY_ID = server.accessKeyId
process.env.AWS_SECRET_ACCESS_KEY = server.secretAccessKey
process.env.PGSTOW_TEST_S3_URL = `s3://backups?endpoint=${server.url}`
try {
  const { options } = parseCLI(["vitest", ...process.argv.slice(2)])
  const vitest = await startVitest("test", [], {
    ...options,
    config: false,
    include: ["test/**/*.suite.ts"],
    testTimeout: 60_000,
    watch: false,
  })
  await vitest.close()
} finally {
  await server.stop()
  await rm(folder, { recursive: true })
}
