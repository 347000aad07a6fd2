// Holds pgstow's S3 storage, and with it the contract that our own endpoint is held to, against S3 services that nobody
// here wrote: versitygw and S3Proxy, which verify signatures and checksums, and have nothing in common. A whole life of
// backups is led on each.
//
// With --by-hand: the same life on services that believe any secret or any checksum, and so prove less. Some of them take
// minutes to build. Names after it choose: --by-hand moto gofakes3.
import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseCLI, startVitest } from "vitest/node"
import { lenientS3 } from "./lenient-s3.ts"
import { startS3Proxy } from "./s3proxy.ts"
import { startVersitygw } from "./versitygw.ts"

const [first, ...rest] = process.argv.slice(2)
const byHand = first === "--by-hand"
const strict = { versitygw: startVersitygw, S3Proxy: startS3Proxy }
const chosen = Object.entries(byHand ? lenientS3 : strict).filter(
  ([name]) => !byHand || rest.length === 0 || rest.includes(name),
)

const folder = await mkdtemp(join(tmpdir(), "pgstow-independent-s3-"))
const services = []
try {
  for (const [name, start] of chosen) {
    const own = join(folder, name)
    await mkdir(own)
    services.push({ name, ...(await start(own, "backups")) })
  }
  process.env.PGSTOW_TEST_S3_SERVICES = JSON.stringify(services)
  const { options } = parseCLI(["vitest", ...(byHand ? [] : process.argv.slice(2))])
  const vitest = await startVitest("test", [], {
    ...options,
    config: false,
    include: [byHand ? "test/**/s3-life-cycle.suite.ts" : "test/**/*.suite.ts"],
    globalSetup: ["test/support/global-set-up.ts"],
    setupFiles: ["test/support/match-patterns.ts"],
    testTimeout: 300_000,
    hookTimeout: 120_000,
    watch: false,
  })
  await vitest.close()
} finally {
  for (const service of services) await service.stop()
  await rm(folder, { recursive: true })
}
