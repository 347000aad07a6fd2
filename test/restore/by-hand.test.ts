import { expect, test } from "vitest"
import * as z from "zod"
import { formatRestore } from "../../task/commands/restore.ts"
import type { Manifest } from "../../task/core/manifest.ts"
import { classOf } from "../../task/postgres/restore-errors.ts"
import { byHand } from "../../task/restore/by-hand.ts"
import type { RestoreResult } from "../../task/restore/result.ts"
import { compareDatabases } from "../support/compare-databases.ts"
import { runInShell } from "../support/run-in-shell.ts"
import { setScene } from "../support/scene.ts"
import { majors } from "../support/shared-postgres.ts"

const numbers = Array.from({ length: 200 }, (_, index) => index).join(", ")

/** All that calls `ok` is refused until a setting is there. */
const schema = `
  CREATE FUNCTION ok(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN IF current_setting('test.ok', true) = 'yes' THEN RETURN n; ELSE RAISE check_violation USING
       MESSAGE = 'not ok', DETAIL = 'Row ' || n; END IF; END $$;
  SET test.ok = 'yes';
  CREATE TABLE "It's big" (n int CHECK (ok(n) = n), "a ""text""" text);
  ALTER TABLE "It's big" ALTER "a ""text""" SET STORAGE PLAIN;
  INSERT INTO "It's big" SELECT i, repeat('x', 7000) FROM generate_series(1, 3000) i;
  CREATE TABLE small (n int PRIMARY KEY CHECK (ok(n) = n), t text);
  INSERT INTO small VALUES (1, 'ä');
  CREATE TABLE other (n int REFERENCES small);
  INSERT INTO other VALUES (1);
  CREATE INDEX "of other" ON other (ok(n)) WHERE n IN (${numbers})`

const answer = z.object({
  into: z.string(),
  byHand: z.array(
    z.object({
      what: z.string(),
      message: z.string(),
      row: z.string().nullable(),
      in: z.enum(["sql", "shell"]),
      run: z.string(),
    }),
  ),
})

test("default privileges are written with one space between two words", () => {
  const definition = `ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA shop GRANT ALL ON TABLES  TO "ON TABLES  TO me";\n`
  const entry = {
    dumpId: 7,
    tableOid: 826,
    oid: 16_400,
    kind: "DEFAULT ACL",
    name: "DEFAULT PRIVILEGES FOR TABLES",
    schema: "shop",
    owner: "app",
    section: "post-data",
    definition,
    hasData: false,
    dependsOn: [],
  } as const
  const error = {
    message: "permission denied",
    entry: null,
    detail: null,
    statement: definition.trim(),
    dumpId: 7,
  } as const
  // Nothing else of it is used where there are no rows.
  const source = { encoding: "UTF8" } as Manifest["source"]
  const [first] = byHand(
    [{ ...error, class: classOf(error.message, "ERROR") }],
    [entry],
    { id: "x", objects: [], source },
    "r",
  )
  expect(first?.run).toBe(
    `ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA shop GRANT ALL ON TABLES TO "ON TABLES  TO me";`,
  )
})

test.for(majors)("what was refused can be finished by what is said, with PostgreSQL %i", async (major) => {
  const scene = await setScene(major)
  const { server, database } = scene
  await server.psql(schema, database)
  await scene.json(["backup", "--jobs", "2", "--no-verify"])
  const name = `${database}_r`
  const { stdout } = await scene.run(["restore", "--into", name, "--jobs", "2", "--json"])
  const { into, byHand: left } = answer.parse(JSON.parse(stdout))
  expect(left.map(({ what }) => what).toSorted()).toEqual([
    "fk constraint public.other other_n_fkey",
    "index public.of other",
    "table data public.It's big",
    "table data public.small",
  ])
  expect(left).toMatchObject(
    expect.arrayContaining([
      expect.objectContaining({ what: "table data public.small", message: "not ok", row: "Row 1" }),
    ]),
  )
  // The program has written it as JSON.
  const shown = formatRestore(JSON.parse(stdout) as RestoreResult)
  for (const { run } of left.slice(0, 3))
    expect(shown).toContain(`      ${run.replaceAll("\n", "\n      ")}\n`)
  expect(shown).toContain("    and 1 more: --json has all of them (byHand)")

  await server.psql(`ALTER DATABASE ${into} SET test.ok = 'yes'`)
  for (const { in: where, run } of left)
    if (where === "sql") await server.psql(run, into)
    else await runInShell(scene, run)
  await server.psql(`ALTER DATABASE ${into} RESET test.ok`)
  expect(await compareDatabases({ server, name: database }, { server, name: into })).toEqual([])
})
