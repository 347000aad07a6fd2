import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type PostgresCluster, startPostgres } from "../support/postgres.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { newestMajor } from "../support/shared-postgres.ts"

describe.for(newestMajor)("a subscription that comes back, with PostgreSQL %i", (major) => {
  let server: PostgresCluster
  beforeAll(async () => {
    server = await startPostgres({ major, settings: { wal_level: "logical", max_wal_senders: "4" } })
  })
  afterAll(() => server.stop())

  /** A subscriber with a backup, and the slot that is made for it. */
  async function subscriber(slot: string): Promise<Scene> {
    const scene = await setScene(server)
    const publisher = await server.createDatabase()
    await server.psql("CREATE TABLE t (i int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t", publisher)
    await server.psql(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`, publisher)
    await server.psql(
      `CREATE TABLE t (i int PRIMARY KEY);
       SET client_min_messages = error;
       CREATE SUBSCRIPTION "S ""1""" CONNECTION 'host=127.0.0.1 port=${server.port} password=hunter2 dbname=${publisher}'
         PUBLICATION p WITH (connect = false, slot_name = '${slot}')`,
      scene.database,
    )
    await scene.json(["backup"])
    return scene
  }
  const subscriptionsIn = (database: string) =>
    server.psql(`SELECT subname, subenabled, coalesce(subslotname, 'none') FROM pg_subscription
                  WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = '${database}')`)
  const slots = (slot: string) =>
    server.psql(`SELECT count(*) FROM pg_replication_slots WHERE slot_name = '${slot}'`)

  test("is disabled and has no slot, and a leftover goes with it while the publisher's slot stays", async () => {
    const scene = await subscriber(`slot_${major}`)
    const into = `${scene.database}_copy`
    const result = await scene.json(["restore", "latest", "--into", into])
    expect(await subscriptionsIn(into)).toBe('S "1"|f|none')
    expect(JSON.stringify(result)).toContain(`SET (slot_name = 'slot_${major}')`)
    expect(JSON.stringify(result)).not.toContain("hunter2")

    await server.psql(`ALTER DATABASE ${into} RENAME TO "incomplete_${into}"`)
    await server.psql(`ALTER SUBSCRIPTION "S ""1""" SET (slot_name = 'slot_${major}')`, `incomplete_${into}`)
    await scene.json(["restore", "latest", "--into", into, "--yes"])
    expect(await slots(`slot_${major}`)).toBe("1")
    await server.psql('DROP SUBSCRIPTION "S ""1"""', into)
    expect(await slots(`slot_${major}`)).toBe("1")
    expect(await subscriptionsIn(scene.database)).toBe(`S "1"|f|slot_${major}`)
  })

  test("is so in an existing database, too", async () => {
    const scene = await subscriber(`other_${major}`)
    const into = await server.createDatabase()
    await scene.json(["restore", "latest", "--into", into])
    expect(await subscriptionsIn(into)).toBe('S "1"|f|none')
  })
})
