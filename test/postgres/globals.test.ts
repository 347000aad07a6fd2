import { readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { withoutProviderRoles } from "../../task/postgres/globals.ts"
import { startPostgres } from "../support/postgres.ts"
import { run } from "../support/programs.ts"
import { setScene } from "../support/scene.ts"

test("a backup of a hosted service's server carries its users' roles, and not the service's own", async () => {
  const scene = await setScene()
  const [hosted, elsewhere] = await Promise.all([startPostgres(), startPostgres()])
  onTestFinished(() => Promise.all([hosted.stop(), elsewhere.stop()]).then(() => {}))
  await hosted.psql(`
    CREATE ROLE rdsadmin SUPERUSER; CREATE ROLE rds_superuser; CREATE ROLE azure_pg_admin; CREATE ROLE cloudsqlsuperuser;
    COMMENT ON ROLE rdsadmin IS 'not yours';
    ALTER ROLE rdsadmin SET statement_timeout = 0;
    CREATE ROLE app LOGIN; CREATE ROLE readers; CREATE ROLE rdsadmin_of_ours;
    ALTER ROLE app SET work_mem = '9MB';
    GRANT rds_superuser TO rdsadmin;
    GRANT readers TO app GRANTED BY postgres`)
  await scene.json(["backup", "--name", "hosted"], {
    DATABASE_URL: hosted.url("postgres"),
    PGSTOW_PG_BIN: hosted.binDir,
  })
  const [id] = await readdir(join(scene.folder, "backups/hosted"))
  const sealed = join(scene.folder, "backups/hosted", String(id), "globals.sql.zst.age")
  const identityFile = join(scene.folder, "pgstow.key")
  await writeFile(identityFile, scene.identity, { mode: 0o600 })
  const compressed = run("age", ["-d", "-i", identityFile, sealed])
  const sql = run("zstd", ["-d"], compressed).toString()

  // That role is there on every server.
  await elsewhere.psql(sql.replace("CREATE ROLE postgres;\n", ""))
  const roles = "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"
  expect(await elsewhere.psql(roles)).toBe("app\npostgres\nrdsadmin_of_ours\nreaders")
  expect(await elsewhere.psql("SELECT pg_has_role('app', 'readers', 'MEMBER')")).toBe("t")
  expect(await elsewhere.psql("SELECT rolconfig FROM pg_roles WHERE rolname = 'app'")).toBe("{work_mem=9MB}")
})

test.each([
  ["CREATE ROLE rdsadmin;", []],
  ["ALTER ROLE rds_superuser WITH NOSUPERUSER;", []],
  ["GRANT app TO rds_superuser WITH INHERIT TRUE GRANTED BY rdsadmin;", []],
  [
    "GRANT rds_superuser TO app WITH INHERIT TRUE GRANTED BY rdsadmin;",
    ["GRANT rds_superuser TO app WITH INHERIT TRUE;"],
  ],
  ['CREATE ROLE "rdsadmin ";', ['CREATE ROLE "rdsadmin ";']],
  ["ALTER ROLE app SET search_path TO 'rdsadmin';", ["ALTER ROLE app SET search_path TO 'rdsadmin';"]],
  ["CREATE ROLE my_rds_user;", ["CREATE ROLE my_rds_user;"]],
])("%s becomes %j", (statement, lines) => {
  expect(withoutProviderRoles(`-- Roles\n${statement}\n\n`)).toBe(["-- Roles", ...lines, "", ""].join("\n"))
})
