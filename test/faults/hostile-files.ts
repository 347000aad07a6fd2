import { createHash } from "node:crypto"
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import * as z from "zod"
import type { Attack, AttackWorld } from "./attack.ts"
import { damages } from "./damages.ts"
import { escapes, intruder } from "./hostile-text.ts"

const head = `--
-- PostgreSQL database dump
--

-- Dumped from database version 15.1
-- Dumped by pg_dump version 15.1

SET standard_conforming_strings = on;
CREATE TABLE public.things (id integer);
`
const tail = `
--
-- PostgreSQL database dump complete
--
`

/** What psql would do, if it obeyed the SQL of a stranger's as it does that of its user. */
function commandsOf(canary: string): Readonly<Record<string, string>> {
  const touch = `touch ${canary}`
  return {
    "a command of the shell": `\\! ${touch}`,
    "a command of the shell behind SQL": `SELECT 1 \\! ${touch}`,
    "output into a program": `\\o |${touch}\nSELECT 1;`,
    "a result into a program": `SELECT 1 \\g |${touch}`,
    "rows from a program": `\\copy public.things FROM PROGRAM '${touch}; echo 1'`,
    "rows into a program": `\\copy public.things TO PROGRAM '${touch}'`,
    "a file to be run": `\\i /etc/passwd`,
    backticks: `\\echo \`${touch}\``,
    "a variable": `\\set x \`${touch}\`\nSELECT :'x';`,
    "a prompt": `\\prompt x x`,
    "another server": `\\c "host=evil.invalid user=postgres"`,
    "statements that make statements": `SELECT 'CREATE ROLE ${intruder} SUPERUSER' \\gexec`,
    "a setting of psql's": `\\setenv PATH /tmp\n\\pset pager always`,
    "data that ends early": `COPY public.things (id) FROM stdin;\n1\n\\.\n\\! ${touch}\n`,
    "the end of a restricted mode": `\\unrestrict x\n\\! ${touch}`,
    "carriage returns": `SELECT 1;\r\\! ${touch}\r\n`,
  }
}

async function importing(
  world: AttackWorld,
  name: string,
  bytes: Buffer,
): Promise<{ file: string; storage: string }> {
  const folder = join(world.folder, "older")
  await mkdir(folder, { recursive: true })
  const file = join(folder, name)
  await writeFile(file, bytes)
  return { file, storage: await world.newStorage() }
}

/** Imports SQL and restores it, into a new database and into one that holds something, which then is as it was. */
async function runSql(world: AttackWorld, sql: string): Promise<void> {
  const bytes = gzipSync(`${head}${sql}\n${tail}`)
  const { file, storage } = await importing(world, "sentinel_backup_20260101_000000.sql.gz", bytes)
  const more = { PGSTOW_STORAGE: storage }
  const imported = await world.expectExit(["import", file, "--name", "older"], more, 0, 2, 6)
  for (const args of [["restore", file], ...(imported.exitCode === 0 ? [["restore", "latest"]] : [])]) {
    const ended = await world.expectExit([...args, "--into", "older_new"], more, 0, 2, 3, 6, 9)
    await world.assertNotObeyed()
    await world.target.createDatabase("older_existing")
    await world.target.psql("CREATE TABLE kept AS SELECT 1 AS one; CREATE TABLE things ()", "older_existing")
    await world.expectExit([...args, "--into", "older_existing", "--yes"], more, 2, 3, 6, 9)
    const tables = await world.target.psql(
      "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
      "older_existing",
    )
    if (tables !== "kept things") throw new Error(`what existed has changed: ${tables}`)
    const isThere = await world.target.psql("SELECT count(*) FROM pg_database WHERE datname = 'older_new'")
    if (ended.exitCode !== 0 && isThere !== "0") throw new Error("it failed, and there is a new database")
    for (const database of ["older_new", "incomplete_older_new", "older_existing"])
      await world.target.psql(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`)
  }
  await rm(file)
}

const names = Object.keys(commandsOf(""))

const commands = names.map(
  (name): Attack => ({
    title: `a hostile old file: its SQL holds ${name}`,
    run: (world) => runSql(world, commandsOf(world.canary)[name] ?? ""),
  }),
)

/** SQL that ends the transaction which was to be all or nothing. `things` exists already: the dump fails. */
const endings = ["COMMIT;", "END;", "ROLLBACK;", "COMMIT AND CHAIN;", "/* x */ commit -- y\n;", "ABORT;"].map(
  (ending): Attack => ({
    title: `a hostile old file: its SQL ends the transaction: ${ending.trim()}`,
    run: async (world) => {
      // In front of what fails, so that what was done before would stay.
      const bytes = gzipSync(
        `${head.replace("CREATE TABLE", `CREATE TABLE public.early ();\n${ending}\nCREATE TABLE`)}${tail}`,
      )
      const { file, storage } = await importing(world, "sentinel_backup_20260102_000000.sql.gz", bytes)
      await world.target.createDatabase("older_existing")
      await world.target.psql(
        "CREATE TABLE kept AS SELECT 1 AS one; CREATE TABLE things ()",
        "older_existing",
      )
      await world.expectExit(
        ["restore", file, "--into", "older_existing", "--yes"],
        { PGSTOW_STORAGE: storage },
        2,
        3,
        6,
        9,
      )
      const early = await world.target.psql("SELECT to_regclass('public.early')", "older_existing")
      await world.target.psql("DROP DATABASE older_existing WITH (FORCE)")
      if (early !== "") throw new Error("what existed has changed, and the restore has failed")
    },
  }),
)

/** How much SQL there is in each of the files. */
const wholeBytes: Readonly<Record<string, number>> = {
  "emiti_metrics_20240115_030000.sql.gz.enc": 671_349,
  "sentinel_backup_20251216_163138.sql.gz.enc": 200_267,
  "sentinel_backup_20251215_163138.sql.gz": 200_267,
}

const listed = z.object({ backups: z.array(z.looseObject({ rawBytes: z.int() })) })

async function importedBytes(
  world: AttackWorld,
  more: Readonly<Record<string, string>>,
): Promise<number | undefined> {
  const { backups } = listed.parse(await world.bed.json(["list"], { env: { ...world.env, ...more } }))
  return backups[0]?.rawBytes
}

const damaged = Object.entries(damages).map(
  ([how, damage]): Attack => ({
    title: `a damaged old file: ${how}`,
    run: async (world, random) => {
      for (const fixture of Object.keys(wholeBytes)) {
        const bytes = await readFile(join(import.meta.dirname, "../fixtures/legacy", fixture))
        const after = damage(bytes, random)
        if (after.equals(bytes)) continue
        const { file, storage } = await importing(world, fixture, after)
        // With its checksum beside it, as Sentinel leaves it: CBC without a MAC could not tell a flipped bit otherwise.
        if (fixture.startsWith("sentinel"))
          await writeFile(
            `${file}.sha256`,
            `${createHash("sha256").update(bytes).digest("hex")}  ${fixture}\n`,
          )
        const key = fixture.startsWith("emiti") ? "emiti.key" : "sentinel.key"
        const keyFile = join(import.meta.dirname, "../fixtures/legacy", key)
        const more = { PGSTOW_STORAGE: storage, ENCRYPTION_KEY_PATH: keyFile }
        // What has the right HMAC has its content, whatever is missing behind it.
        const { exitCode } = await world.expectExit(["import", file, "--json"], more, 0, 2, 6, 7)
        await world.expectExit(["verify", file], more, exitCode === 0 ? 0 : 2, 6, 7)
        if (exitCode === 0 && (await importedBytes(world, more)) !== wholeBytes[fixture])
          throw new Error("it was imported as another")
        await rm(file)
        await rm(`${file}.sha256`, { force: true })
      }
    },
  }),
)

const odd: readonly Attack[] = [
  {
    title: "a hostile old file: a name that a terminal obeys",
    run: async (world) => {
      for (const sequence of escapes) {
        const name = `sentinel${sequence}\n_20260103_000000.sql.gz`.replaceAll("/", "")
        const { file, storage } = await importing(world, name, gzipSync(head + tail))
        await world.expectExit(["import", file, "--name", "older"], { PGSTOW_STORAGE: storage }, 0, 2)
        await world.expectExit(["show", "latest"], { PGSTOW_STORAGE: storage }, 0, 8)
        await world.expectExit(["verify", file], { PGSTOW_STORAGE: storage }, 0, 2, 6)
        const screen = await world.screenOf("show latest", { PGSTOW_STORAGE: storage })
        if (screen.includes(sequence))
          throw new Error(`show wrote ${JSON.stringify(sequence)} to the terminal`)
        await rm(file)
      }
    },
  },
  {
    title: "a hostile old file: a folder with links in circles, and to devices",
    run: async (world) => {
      const folder = join(world.folder, "circles")
      await mkdir(folder)
      await symlink(folder, join(folder, "again"))
      await symlink("/dev/zero", join(folder, "zero_20260101_000000.sql.gz"))
      await symlink("/nonexistent", join(folder, "nowhere.sql"))
      await writeFile(join(folder, "good_20260101_000000.sql.gz"), gzipSync(head + tail))
      await world.expectExit(["import", folder], { PGSTOW_STORAGE: await world.newStorage() }, 0, 2)
      await rm(folder, { recursive: true })
    },
  },
]

/** Files of older systems that were damaged, or made by somebody who wants to be obeyed. */
export const hostileFiles: readonly Attack[] = [...commands, ...endings, ...damaged, ...odd]
