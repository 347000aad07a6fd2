import { onTestFinished, test } from "vitest"
import { notRun } from "../support/not-run.ts"
import { findPostgres, startPostgres } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"

const installed = findPostgres()
const older = installed.findLast(({ major }) => major < 16)
const newer = installed.findLast(({ major }) => major >= 16)
const missing = notRun(
  older !== undefined && newer !== undefined,
  "it takes client programs from before 16, and newer ones",
)

test.skipIf(missing)(
  `the system's authorities verify an older server by newer clients, where its own can't${missing}`,
  async () => {
    if (older === undefined || newer === undefined) return
    const server = await startPostgres({ binDir: older.binDir, tls: true })
    onTestFinished(() => server.stop())
    const scene = await setScene(server)
    const env = {
      DATABASE_URL: `${server.url(scene.database)}?sslmode=verify-full&sslrootcert=system`,
      // The system's authorities are OpenSSL's, and it takes them from here.
      SSL_CERT_FILE: server.rootCertificate ?? "",
      PGSTOW_PG_BIN: `${older.binDir}:${newer.binDir}`,
      PATH: "/usr/bin:/bin",
    }
    await scene.json(["backup"], env)
    await scene.json(["restore", "latest", "--into", "restored"], env)
    await scene.json(["backup", "--all", "--exclude", "postgres"], env)
  },
)
