import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { backup } from "../../task/commands/backup.ts"
import { type RestoreOptions, restore, restoreFailure } from "../../task/commands/restore.ts"
import { generateIdentity } from "../../task/identity.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { compareDatabases } from "../support/compare-databases.ts"
import { testContext } from "../support/context.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { connectionTo } from "../support/session.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

const { identity, recipient } = await generateIdentity()

describe.for(majors)("from and to PostgreSQL %i", (major) => {
  let folder: string
  let storage: Storage
  let server: PostgresServer
  let source: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pgstow-restore-"))
    storage = openStorage(`file://${folder}/backups`, { env: {} })
    server = await sharedPostgres(major)
    source = await server.createDatabase()
    await fillSampleDatabase(server, source, { megabytes: 3 })
    await backup(
      {
        connection: connectionTo(server, source),
        clientFolders: [server.binDir],
        storages: [storage],
        name: undefined,
        recipients: [recipient],
        compressLevel: 1,
        lockWaitSeconds: 10,
        verify: false,
        shrinkWarning: 50,
      },
      testContext(),
    )
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  const optionsOf = (more: Partial<RestoreOptions> = {}): RestoreOptions => ({
    storages: [storage],
    backup: "latest",
    database: source,
    connection: connectionTo(server, source),
    clientFolders: [server.binDir],
    into: undefined,
    identities: [identity],
    selection: undefined,
    owners: "keep",
    grants: "keep",
    clean: false,
    locale: "original",
    analyze: true,
    yes: false,
    ask: undefined,
    ...more,
  })

  test("a new database is equal to the original", async () => {
    const context = testContext()
    const result = await restore(optionsOf(), context)
    expect(result).toMatchObject({ state: "restored", errors: [], failure: null })
    expect(restoreFailure(result)).toBeUndefined()
    expect(result.into).toMatch(new RegExp(`^${source}_restored_\\d{12}$`))
    expect(await compareDatabases({ server, name: source }, { server, name: result.into })).toEqual([])
  })
})
