import { createHash } from "node:crypto"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { zstdCompressSync } from "node:zlib"
import { expect, test } from "vitest"
import * as z from "zod"
import type { DrillResult } from "../../task/drill/drill.ts"
import { sample } from "../legacy/samples.ts"
import { drillOf, editManifest, expectNothingLeft, setDrillScene } from "../support/drill-scene.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { majors, needsOlder, sharedPostgres } from "../support/shared-postgres.ts"

test("a changed segment is found, and so is one that was emptied with its manifest", async () => {
  const scene = await setDrillScene()
  await scene.server.psql(
    `CREATE TABLE big AS SELECT i, repeat(md5(i::text), 32) AS text FROM generate_series(1, 20000) i; ANALYZE big`,
    scene.database,
  )
  const unsealed = ["--unencrypted", "--no-verify"]
  const env = { PGSTOW_RECIPIENTS: "" }
  await scene.json(["backup", "--jobs", "2", ...unsealed], env)
  await editManifest(scene, async (manifest, folder) => {
    const segments = manifest.objects.filter(({ kind }) => kind === "segment")
    expect(segments.length).toBeGreaterThan(0)
    const body = zstdCompressSync("1\tshort\n")
    for (const { name } of segments) await writeFile(join(folder, name), body)
    return manifest
  })
  const changed = await drillOf(scene, [], 6)
  expect(changed.kind).toBe("drill-failed")
  expect(changed.problems[0]?.found).toMatch(/is not what its manifest says/)

  await editManifest(scene, async (manifest, folder) => {
    const body = zstdCompressSync("")
    const empty = {
      sizeBytes: body.length,
      sha256: createHash("sha256").update(body).digest("hex"),
      rawBytes: 0,
      rows: 0,
    }
    return {
      ...manifest,
      objects: await Promise.all(
        manifest.objects.map(async (object) => {
          if (object.kind !== "segment") return object
          await writeFile(join(folder, object.name), body)
          return { ...object, ...empty }
        }),
      ),
    }
  })
  const emptied = await drillOf(scene, [], 6)
  expect(emptied.problems).toEqual([
    {
      object: "table public.big",
      expected: /^about \d{5} rows, as the server's statistics had it$/,
      found: "0 rows",
    },
  ])
  expectNothingLeft(scene)
})

test.skipIf(needsOlder)(
  `a newer server does where the backup's version is not here, and that is said${needsOlder}`,
  async () => {
    const scene = await setDrillScene(majors.at(0))
    await fillSampleDatabase(scene.server, scene.database, { megabytes: 1.4 })
    await scene.json(["backup", "--no-verify"])
    const [older, newest] = [Number(majors.at(-1)) - 1, await sharedPostgres()]
    await editManifest(scene, (manifest) => ({
      ...manifest,
      source: { ...manifest.source, serverVersion: `${older}.0` },
    }))
    const { exitCode, stderr, stdout } = await scene.run(["drill", "--json"], {
      PGSTOW_PG_BIN: `${newest.binDir}:${scene.server.binDir}`,
    })
    expect(exitCode, stderr).toBe(0)
    const { drill } = JSON.parse(stdout) as DrillResult
    // A machine may have that version elsewhere.
    if (drill?.server === newest.version)
      expect(stderr).toContain(
        `there is no PostgreSQL ${older} here: the drill goes to the newer ${newest.major}`,
      )
    else expect(drill?.server).toMatch(new RegExp(`^${older}\\.`))
  },
)

test("tables are found by names that are no text in UTF-8, too", async () => {
  const scene = await setDrillScene()
  await scene.server.psql(
    `DROP DATABASE ${scene.database};
     CREATE DATABASE ${scene.database} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'`,
  )
  await scene.server.psql(
    `SET client_encoding TO 'UTF8'; CREATE TABLE "Straße" (id serial PRIMARY KEY, t text);
     INSERT INTO "Straße" (t) VALUES ('ü'), ('ß'); CREATE VIEW "größe" AS SELECT t || 'ä' AS x FROM "Straße"`,
    scene.database,
  )
  await scene.json(["backup", "--no-verify"])
  expect(await drillOf(scene)).toMatchObject({ kind: "drilled", drill: { rows: 2, notes: [] } })
})

test("functions that look names up without a schema have what --search-path says", async () => {
  const scene = await setDrillScene()
  await scene.server.psql(
    `CREATE FUNCTION plain(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i';
     CREATE FUNCTION outer_one(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN plain(i); END';
     CREATE TABLE t (i int CHECK (outer_one(i) > 0)); INSERT INTO t VALUES (1)`,
    scene.database,
  )
  await scene.json(["backup", "--no-verify"])
  expect((await drillOf(scene, [], 6)).problems).toMatchObject([
    { object: /^TABLE DATA t/, found: /^function plain\(integer\) does not exist/ },
  ])
  expect(await drillOf(scene, ["--search-path", "public"])).toMatchObject({ kind: "drilled" })
})

test("a backup that was imported as SQL is restored and read, and its views and indexes looked at", async () => {
  const scene = await setDrillScene()
  const imported = ["import", sample("sentinel_backup_20251215_163138.sql.gz"), "--name", "old"]
  await scene.json(imported)
  const { kind, drill } = await drillOf(scene)
  expect(kind).toBe("drilled")
  expect(drill).toMatchObject({
    rows: 0,
    objects: {},
    notes: ["the backup is SQL: its definitions and rows could not be compared"],
  })
  expectNothingLeft(scene)
})

test("a signed backup is drilled with the public key that it is signed by, and with no other", async () => {
  const scene = await setDrillScene()
  await scene.server.psql("CREATE TABLE t AS SELECT 1 AS i", scene.database)
  const made = z.object({ signer: z.string(), signingKeyFile: z.string() })
  const makeKey = async (name: string) => made.parse(await scene.json(["keygen", "--signing", "--out", name]))
  const [mine, other] = [await makeKey("mine.key"), await makeKey("other.key")]
  await scene.json(["backup", "--no-verify", "--signing-key", mine.signingKeyFile])
  expect(await drillOf(scene, ["--signed-by", mine.signer])).toMatchObject({ kind: "drilled" })
  expect((await scene.run(["drill", "--signed-by", other.signer])).exitCode).toBe(13)
})
