import { describe, expect, test } from "vitest"
import { failureOfRun } from "../support/failure-line.ts"
import { limitedUser } from "../support/limited-user.ts"
import { setScene } from "../support/scene.ts"
import { majors } from "../support/shared-postgres.ts"

describe.for(majors)("settings that a user may not give, with PostgreSQL %i", (major) => {
  test("to roles in the database are foreseen with what to ask for, which helps", async () => {
    const scene = await setScene(major)
    const { server, database } = scene
    const [app, gone] = [`App of ${database}`, `gone_${database}`]
    await server.psql(
      `CREATE ROLE "${app}"; CREATE ROLE ${gone};
       ALTER ROLE "${app}" IN DATABASE ${database} SET work_mem = '9MB';
       ALTER ROLE "${app}" IN DATABASE ${database} SET log_min_duration_statement = 7;
       ALTER ROLE "${app}" IN DATABASE ${database} SET app.tenant = 'it''s';
       ALTER ROLE ${gone} IN DATABASE ${database} SET work_mem = '8MB';
       ALTER DATABASE ${database} SET session_replication_role = 'local'; ALTER DATABASE ${database} SET work_mem = '7MB'`,
    )
    await server.psql("CREATE TABLE t (i int)", database)
    await scene.json(["backup"])
    await server.psql(`DROP ROLE ${gone}`)
    const { user, env } = await limitedUser(scene, "CREATEDB")
    const restore = ["restore", "latest", "--into", `${database}_copy`, "--no-owner"]

    const failure = failureOfRun(await scene.run(restore, env))
    const whys = [
      `the target lacks a role that the backup names: ${gone}`,
      `the user ${user} may not set the parameters app.tenant, log_min_duration_statement`,
      `the user ${user} may not change settings of ${app}`,
    ]
    for (const why of whys) expect(failure.message).toContain(why)
    expect(failure.message).toContain(`${whys.length} things would fail`)
    expect(failure.hint).toContain("--no-acl")
    const grants = [
      ...(major >= 15
        ? [`GRANT SET ON PARAMETER "app.tenant", "log_min_duration_statement" TO "${user}"`]
        : []),
      ...(major >= 16 ? [`GRANT "${app}" TO "${user}" WITH ADMIN OPTION`] : []),
      `ALTER ROLE "${user}" CREATEROLE`,
    ]
    for (const grant of grants) expect(failure.hint).toContain(grant)

    // Before that, nobody can grant what only a superuser may set.
    if (major < 15) return
    await server.psql(`CREATE ROLE ${gone}; ${grants.join("; ")}`)
    if (major >= 16) await server.psql(`GRANT ${gone} TO "${user}" WITH ADMIN OPTION`)
    const dry = await scene.json([...restore, "--dry-run"], env)
    expect(dry).toMatchObject({
      foreseen: [],
      notes: [
        `settings of the database will not be taken, since the user ${user} may not set session_replication_role`,
      ],
    })
    expect(await scene.json(restore, env)).toMatchObject({
      state: "restored",
      warnings: [expect.stringContaining("the setting session_replication_role=local was not taken")],
    })
    const settings = `SELECT string_agg(concat(rolname, setconfig), ' ' ORDER BY rolname COLLATE "C" DESC)
      FROM pg_db_role_setting LEFT JOIN pg_roles r ON r.oid = setrole
      WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = '${database}_copy')`
    expect(await server.psql(settings)).toBe(
      `{work_mem=7MB} ${gone}{work_mem=8MB} ${app}{work_mem=9MB,log_min_duration_statement=7,app.tenant=it's}`,
    )
  })

  test("to roles are left out without grants, which is said", async () => {
    const scene = await setScene(major)
    const { server, database } = scene
    const [first, second] = [`App 1 of ${database}`, `app_2_${database}`]
    await server.psql(
      `CREATE ROLE "${first}"; CREATE ROLE ${second};
       ALTER ROLE "${first}" IN DATABASE ${database} SET work_mem = '9MB';
       ALTER ROLE "${first}" IN DATABASE ${database} SET search_path = a, "B";
       ALTER ROLE ${second} IN DATABASE ${database} SET app.tenant = 'x'`,
    )
    await server.psql("CREATE TABLE t (i int)", database)
    await scene.json(["backup"])
    const restore = ["restore", "latest", "--into", `${database}_copy`, "--no-owner"]
    const said = `--no-acl leaves out what is set for roles in the database: work_mem, search_path for ${first}; app.tenant for ${second}`
    expect(await scene.json([...restore, "--no-acl", "--dry-run"])).toMatchObject({ notes: [said] })
    expect(await scene.json([...restore, "--dry-run"])).toMatchObject({ notes: [] })
    expect(await scene.json([...restore, "--no-acl", "--dry-run", "--table", "t"])).toMatchObject({
      notes: [],
    })
    expect(await scene.json([...restore, "--no-acl"])).toMatchObject({ warnings: [said] })
  })

  test("are no matter without grants, or for a superuser", async () => {
    const scene = await setScene(major)
    const { server, database } = scene
    await server.psql(
      `CREATE ROLE app_${database}; ALTER ROLE app_${database} IN DATABASE ${database} SET log_min_duration_statement = 7`,
    )
    await scene.json(["backup"])
    const { env } = await limitedUser(scene, "CREATEDB")
    const dryRun = ["restore", "latest", "--dry-run"]
    expect(await scene.json([...dryRun, "--no-owner", "--no-acl"], env)).toMatchObject({ foreseen: [] })
    expect(await scene.json(dryRun)).toMatchObject({ foreseen: [] })
  })
})
