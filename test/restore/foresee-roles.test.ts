import { expect, onTestFinished, test } from "vitest"
import { startPostgres } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"
import { majors } from "../support/shared-postgres.ts"

test.for(majors)(
  "what an admin of PostgreSQL %i who is no superuser may not give to roles is told before, with what to ask for",
  async (major) => {
    const [source, target] = await Promise.all([startPostgres({ major }), startPostgres({ major })])
    onTestFinished(() => Promise.all([source.stop(), target.stop()]).then(() => {}))
    const scene = await setScene(source)
    await source.psql(`
      CREATE ROLE app LOGIN CREATEDB; CREATE ROLE boss SUPERUSER; CREATE ROLE copier REPLICATION;
      CREATE ROLE all_rows BYPASSRLS; CREATE ROLE maker CREATEROLE; CREATE ROLE "there before"; CREATE ROLE super_before;
      CREATE ROLE known_before;
      GRANT pg_monitor, "there before", super_before, known_before, maker TO app; GRANT copier TO "there before";
      ALTER ROLE app SET log_min_duration_statement = 7; ALTER ROLE app SET app.tenant = 'x';
      ALTER ROLE app SET work_mem = '9MB'; COMMENT ON ROLE app IS 'x'`)
    if (major >= 15)
      await source.psql(
        "GRANT SET ON PARAMETER log_lock_waits TO app; GRANT ALTER SYSTEM ON PARAMETER work_mem TO app",
      )
    if (major >= 16) await source.psql("GRANT boss TO maker WITH INHERIT FALSE, SET FALSE")
    await scene.json(["backup"])
    await target.psql(`
      CREATE ROLE adm LOGIN CREATEROLE PASSWORD 'pw'; CREATE ROLE "there before"; CREATE ROLE super_before SUPERUSER;
      CREATE ROLE known_before; GRANT known_before TO adm WITH ADMIN OPTION; CREATE DATABASE into_it OWNER adm`)
    if (major >= 15) await target.psql("GRANT SET ON PARAMETER log_lock_waits TO adm WITH GRANT OPTION")
    const url = new URL(target.url("postgres"))
    ;[url.username, url.password] = ["adm", "pw"]
    const env = { DATABASE_URL: url.href }
    const restore = ["restore", "latest", "--into", "into_it", "--create-roles", "--no-owner", "--no-acl"]

    const { notes } = (await scene.json([...restore, "--dry-run"], env)) as { notes: string[] } // as a Prospect is
    const told = notes.flatMap((note) => /^--create-roles leaves out (.*?): (.*)$/.exec(note)?.slice(1) ?? [])
    const left = told.filter((_, index) => index % 2 === 0)
    const { warnings } = (await scene.json(restore, env)) as { warnings: string[] } // as a RestoreResult is
    const refused = warnings.flatMap((warning) => /^refused: (.*?): /.exec(warning)?.slice(1) ?? [])
    expect(left.toSorted()).toEqual(refused.toSorted())
    expect(left).toEqual(
      expect.arrayContaining([
        'ALTER ROLE "boss" SUPERUSER',
        'ALTER ROLE "copier" REPLICATION',
        'GRANT "super_before" TO "app"',
        `ALTER ROLE "app" SET "app.tenant" TO 'x'`,
      ]),
    )
    expect(left.includes('GRANT "pg_monitor" TO "app"')).toBe(major >= 16)
    expect(left.includes('ALTER ROLE "app" CREATEDB')).toBe(major >= 16)

    if (major >= 15) await target.psql("SET ROLE adm; REVOKE ALL ON PARAMETER log_lock_waits FROM app")
    // What is to be asked for is enough.
    const asked = told.flatMap((text) => /ask for (.*?), or /.exec(text)?.slice(1) ?? [])
    expect(asked.length > 0).toBe(major >= 15)
    await target.psql(`DROP DATABASE into_it; CREATE DATABASE into_it OWNER adm; ${asked.join("; ")}`)
    await target.psql("DROP ROLE app, boss, copier, all_rows, maker")
    const again = (await scene.json(restore, env)) as { warnings: string[] } // as a RestoreResult is
    const still = again.warnings.filter((warning) => warning.startsWith("refused: "))
    const without = told.filter((text, index) => index % 2 === 1 && !text.includes("ask for"))
    expect(still).toHaveLength(without.length)
  },
)
