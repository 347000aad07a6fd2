import { existsSync } from "node:fs"
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, onTestFinished, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { notRun } from "../support/not-run.ts"
import { findPostgres, type PostgresCluster, startPostgres } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"

const debian = findPostgres().find(({ binDir }) => binDir.startsWith("/usr/lib/postgresql/"))
const lacks = (extension: string) =>
  notRun(
    existsSync(`/usr/share/postgresql/${debian?.major}/extension/${extension}.control`),
    `Debian's package of ${extension} is not installed`,
  )

async function start(options: Parameters<typeof startPostgres>[0]): Promise<PostgresCluster> {
  const server = await startPostgres(options)
  onTestFinished(() => server.stop())
  return server
}
const startDebians = (settings: Readonly<Record<string, string>> = {}) =>
  start({ ...(debian && { binDir: debian.binDir }), settings })

const noPostgis = lacks("postgis")
test.skipIf(noPostgis)(
  `PostGIS: systems of coordinates of one's own come back, once${noPostgis}`,
  async () => {
    const scene = await setScene(await startDebians())
    const { server, database } = scene
    await server.psql(
      `CREATE EXTENSION postgis;
     INSERT INTO spatial_ref_sys VALUES (990001, 'ours', 990001, 'LOCAL_CS["ours"]', '+proj=longlat');
     CREATE TABLE places (id int PRIMARY KEY, at geometry(Point, 990001) NOT NULL, area geography);
     INSERT INTO places SELECT n, ST_SetSRID(ST_MakePoint(n % 180, n % 90), 990001), ST_MakePoint(n % 180, n % 90)::geography
       FROM generate_series(1, 50000) AS n;
     CREATE INDEX ON places USING gist (at); CREATE INDEX ON places USING gist (area)`,
      database,
    )
    await scene.json(["backup", "--jobs", "2"])
    for (const into of [`${database} copy`, await server.createDatabase()]) {
      await scene.json(["restore", "latest", "--into", into, "--jobs", "2"])
      expect(await compareDatabases({ server, name: database }, { server, name: into })).toEqual([])
      const systems = "SELECT count(*), count(*) FILTER (WHERE srid = 990001) FROM spatial_ref_sys"
      expect(await server.psql(systems, into)).toBe(await server.psql(systems, database))
    }
  },
)

const noPartman = lacks("pg_partman")
test.skipIf(noPartman)(
  `pg_partman: what it is to do comes back, and it goes on with it${noPartman}`,
  async () => {
    const scene = await setScene(await startDebians())
    const { server, database } = scene
    await server.psql(
      `CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman;
     CREATE TABLE public.events (at timestamptz NOT NULL, what text) PARTITION BY RANGE (at);
     SELECT partman.create_parent('public.events', 'at', 'native', 'daily');
     UPDATE partman.part_config SET retention = '30 days', premake = 6;
     INSERT INTO public.events SELECT now(), 'event ' || n FROM generate_series(1, 1000) AS n`,
      database,
    )
    await scene.json(["backup"])
    const into = `${database} copy`
    await scene.json(["restore", "latest", "--into", into])
    expect(await compareDatabases({ server, name: database }, { server, name: into })).toEqual([])
    const count = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'public.events'::regclass"
    const before = Number(await server.psql(count, into))
    await server.psql("SELECT partman.run_maintenance()", into)
    expect(Number(await server.psql(count, into))).toBe(before + 2)
  },
)

const noCron = lacks("pg_cron")
describe.skipIf(noCron)(`pg_cron${noCron}`, () => {
  const place = async () => {
    const settings = { shared_preload_libraries: "pg_cron", "cron.database_name": "jobs" }
    const [server, other] = [await startDebians(settings), await startDebians(settings)]
    const scene = await setScene(server)
    await server.createDatabase("jobs")
    await other.createDatabase("jobs")
    await server.psql(
      `CREATE EXTENSION pg_cron; CREATE EXTENSION hstore;
       SELECT cron.schedule('gone', '* * * * *', 'SELECT 1'); SELECT cron.unschedule('gone');
       SELECT cron.schedule('bill', '* * * * *', 'INSERT INTO bills VALUES (1)');
       SELECT cron.schedule('paused', '0 3 * * *', 'SELECT 1');
       UPDATE cron.job SET active = false WHERE jobname = 'paused';
       SELECT cron.schedule('mail', '* * * * *', 'SELECT 1');
       CREATE TABLE bills (i int); INSERT INTO bills VALUES (7)`,
      "jobs",
    )
    await scene.json(["backup"], { DATABASE_URL: server.url("jobs") })
    return { scene, server, other }
  }
  const jobs = "SELECT jobid, active FROM cron.job ORDER BY jobid"

  test("is refused before anything is made where it may not be, and can be left out with its jobs", async () => {
    const { scene, server } = await place()
    const databases = () => server.psql("SELECT datname FROM pg_database ORDER BY 1")
    const before = await databases()
    const existing = await server.createDatabase()
    for (const [into, why] of [
      ["jobs_copy", "pg_cron may only be in the database that cron.database_name names (jobs)"],
      [existing, "pg_cron may only be in the database jobs, by cron.database_name"],
    ] as const) {
      const refused = failureOfRun(await scene.run(["restore", "latest", "--into", into]))
      expect(refused.message).toContain(why)
      expect(refused.hint).toContain("--skip-extension pg_cron")
      expect(await server.psql("SELECT count(*) FROM pg_class WHERE relname = 'bills'", existing)).toBe("0")
    }
    expect((await databases()).split("\n").filter((name) => name !== existing)).toEqual(before.split("\n"))

    await scene.json(["restore", "latest", "--into", "jobs_copy", "--skip-extension", "pg_cron"])
    expect(await server.psql("TABLE bills", "jobs_copy")).toContain("7")
    expect(await server.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'cron'", "jobs_copy")).toBe(
      "0",
    )
  })

  test("a server that does not load it is said to", async () => {
    const { scene } = await place()
    const bare = await startDebians()
    const refused = failureOfRun(
      await scene.run(["restore", "latest", "--into", "jobs"], { DATABASE_URL: bare.url("postgres") }),
    )
    expect(refused.message).toContain("does not load pg_cron")
  })

  test("jobs come back inactive, and what activates those that were active is said", async () => {
    const { scene, other } = await place()
    const result = await scene.json(["restore", "latest", "--into", "jobs"], {
      DATABASE_URL: other.url("postgres"),
    })
    expect(await other.psql(jobs, "jobs")).toBe("2|f\n3|f\n4|f")
    const said = JSON.stringify(result)
    expect(said).toContain("UPDATE cron.job SET active = true WHERE jobid IN (2, 4);")
    await other.psql("UPDATE cron.job SET active = true WHERE jobid IN (2, 4);", "jobs")
    expect(await other.psql(jobs, "jobs")).toBe("2|t\n3|f\n4|t")
  })

  test("jobs that are there already go on", async () => {
    const { scene, other } = await place()
    await other.psql(
      "CREATE EXTENSION pg_cron; SELECT cron.schedule('there', '* * * * *', 'SELECT 1')",
      "jobs",
    )
    await scene.json(["restore", "latest", "--into", "jobs", "--yes"], {
      DATABASE_URL: other.url("postgres"),
    })
    expect(await other.psql(jobs, "jobs")).toBe("1|t\n2|f\n3|f\n4|f")
  })
})

/** Of TimescaleDB's protocol what a restore sees of it: the functions, the setting, and that rows are refused without it. */
const standIn = `
  CREATE SCHEMA _timescaledb_catalog;
  CREATE TABLE _timescaledb_catalog.hypertable (name text);
  SELECT pg_catalog.pg_extension_config_dump('_timescaledb_catalog.hypertable', '');
  CREATE TABLE _timescaledb_catalog.called (at serial, function text, database text);
  CREATE FUNCTION _timescaledb_catalog.may_write() RETURNS boolean LANGUAGE sql STABLE AS
    $$SELECT current_setting('timescaledb.restoring', true) = 'on' OR current_setting('stand_in.used', true) = 'on'$$;
  CREATE FUNCTION timescaledb_pre_restore() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
      EXECUTE format('ALTER DATABASE %I SET timescaledb.restoring = ''on''', current_database());
      SET SESSION timescaledb.restoring = 'on';
      INSERT INTO _timescaledb_catalog.called (function, database) VALUES ('pre', current_database());
      RETURN true;
    END$$;
  CREATE FUNCTION timescaledb_post_restore() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
      EXECUTE format('ALTER DATABASE %I RESET timescaledb.restoring', current_database());
      SET timescaledb.restoring TO off;
      INSERT INTO _timescaledb_catalog.called (function, database) VALUES ('post', current_database());
      RETURN true;
    END$$`

const withPath = findPostgres().find(({ major }) => major >= 18)
const noPath = notRun(withPath !== undefined, "no PostgreSQL 18, which takes extensions of a folder")
describe.skipIf(noPath)(`TimescaleDB's protocol, by a stand-in that is not TimescaleDB${noPath}`, () => {
  const place = async () => {
    const folder = await mkdtemp(join(tmpdir(), "pgstow-extension-"))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    await mkdir(join(folder, "extension"))
    const publish = (version: string) =>
      writeFile(
        join(folder, "extension/timescaledb.control"),
        `default_version = '${version}'\nrelocatable = false\n`,
      )
    await publish("2.0")
    for (const version of ["2.0", "3.0"])
      await writeFile(join(folder, `extension/timescaledb--${version}.sql`), standIn)
    // The server is another user's.
    await chmod(folder, 0o755)
    const server = await start({
      ...(withPath && { binDir: withPath.binDir }),
      settings: { extension_control_path: `$system:${folder}` },
    })
    const scene = await setScene(server)
    const { database } = scene
    await server.psql(
      `CREATE SCHEMA "Ts"; CREATE EXTENSION timescaledb SCHEMA "Ts";
       SET stand_in.used = 'on';
       INSERT INTO _timescaledb_catalog.hypertable VALUES ('metrics');
       CREATE TABLE metrics (id int PRIMARY KEY, text text, CHECK (_timescaledb_catalog.may_write()));
       INSERT INTO metrics SELECT n, repeat('x', 400) FROM generate_series(1, 60000) AS n`,
      database,
    )
    return { scene, server, database, publish }
  }
  const settings = (server: PostgresCluster) =>
    server.psql("SELECT count(*) FROM pg_db_role_setting WHERE setconfig::text LIKE '%timescaledb%'")
  const called = "SELECT function, database FROM _timescaledb_catalog.called ORDER BY at"
  const counts =
    "SELECT (SELECT count(*) FROM metrics), (SELECT count(*) FROM _timescaledb_catalog.hypertable)"

  test("a new database is restored between its two calls, the second under the final name", async () => {
    const { scene, server, database } = await place()
    await scene.json(["backup", "--jobs", "2"])
    await scene.json(["restore", "latest", "--into", "copy", "--jobs", "2"])
    expect(await server.psql(counts, "copy")).toBe("60000|1")
    expect(await server.psql(called, "copy")).toBe("pre|incomplete_copy\npost|copy")
    expect(await settings(server)).toBe("0")
    expect(await server.psql(called, database)).toBe("")
  })

  test("a restore with errors ends with the second call, too", async () => {
    const { scene, server, database } = await place()
    await server.psql(
      `CREATE TABLE a (i int PRIMARY KEY); CREATE TABLE b (i int REFERENCES a);
       SET session_replication_role = 'replica'; INSERT INTO b VALUES (1)`,
      database,
    )
    await scene.json(["backup"])
    expect((await scene.run(["restore", "latest", "--into", "copy"])).exitCode).toBe(9)
    expect(await server.psql(called, "incomplete_copy")).toBe("pre|incomplete_copy\npost|incomplete_copy")
    expect(await settings(server)).toBe("0")

    const existing = await server.createDatabase()
    expect((await scene.run(["restore", "latest", "--into", existing])).exitCode).not.toBe(0)
    expect(await settings(server)).toBe("0")
    expect(
      await server.psql("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'", existing),
    ).toBe("0")
  })

  test("an existing database is restored between them, whether it has the extension or not", async () => {
    const { scene, server } = await place()
    await scene.json(["backup", "--jobs", "2"])
    const [empty, having] = [await server.createDatabase(), await server.createDatabase()]
    await server.psql("CREATE SCHEMA other; CREATE EXTENSION timescaledb SCHEMA other", having)
    for (const into of [empty, having]) {
      await scene.json(["restore", "latest", "--into", into, "--yes"])
      expect(await server.psql(counts, into)).toBe("60000|1")
      expect(await server.psql(called, into)).toBe(`pre|${into}\npost|${into}`)
    }
    expect(await settings(server)).toBe("0")
  })

  test("another version is refused before anything is made", async () => {
    const { scene, server, publish } = await place()
    await scene.json(["backup"])
    await publish("3.0")
    const refused = failureOfRun(await scene.run(["restore", "latest", "--into", "copy"]))
    expect(refused.message).toContain("it is 2.0 in the backup, and 3.0 on this server")
    expect(await server.psql("SELECT count(*) FROM pg_database WHERE datname LIKE '%copy'")).toBe("0")
  })
})
