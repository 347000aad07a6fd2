import { globSync } from "node:fs"
import { readFile, writeFile } from "node:fs/promises"
import { expect, test } from "vitest"
import * as z from "zod"
import { formatProblem } from "../../task/core/check.ts"
import { type Manifest, parseManifest, type SegmentObject } from "../../task/core/manifest.ts"
import { exitCodes } from "../../task/errors.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { setScene } from "../support/scene.ts"

/** A table in some segments, one in a single segment, and a small one of the same shape. */
const tables = `
  CREATE TABLE cut (n int, m int, text text);
  ALTER TABLE cut ALTER text SET STORAGE PLAIN;
  CREATE TABLE big (LIKE cut INCLUDING STORAGE);
  CREATE TABLE small (LIKE cut);
  INSERT INTO cut SELECT n, -n, repeat('x', 7000) FROM generate_series(1, 7000) AS n;
  INSERT INTO big SELECT n, -n, repeat('x', 7000) FROM generate_series(1, 2200) AS n;
  INSERT INTO small VALUES (1, 2, 'text');
  ANALYZE`

type Objects = Manifest["objects"]
const isOf = (table: string) => (object: Objects[number]) =>
  object.kind === "segment" && object.table === table
const changed = (objects: Objects, change: Partial<SegmentObject>) =>
  objects.map((object) => (isOf("big")(object) ? { ...object, ...change } : object)) as Objects // The kind stays.

const resultSchema = z.object({
  kind: z.string(),
  problems: z.array(z.object({ object: z.string(), expected: z.string(), found: z.string() })),
})

test("a manifest that was changed where its objects were not fails deep verification, and nothing is restored", async () => {
  const { server, database, folder, json, run } = await setScene()
  await server.psql(tables, database)
  await json(["backup", "--jobs", "2", "--no-verify"])
  expect(await json(["verify", "latest", "--deep"])).toMatchObject([{ kind: "deep-verified" }])
  const [file = ""] = globSync(`${folder}/backups/*/*/manifest.json`)
  const manifest = parseManifest(await readFile(file, "utf8"))
  expect(manifest.objects.filter(isOf("cut")).length).toBeGreaterThan(1)

  const attacks: readonly (readonly [(objects: Objects) => Objects, string])[] = [
    [
      (objects) => objects.filter((object) => object !== objects.find(isOf("cut"))),
      "expected all pages of public.cut, each once, found ",
    ],
    [
      (objects) =>
        objects.map((object) => {
          const { name, sizeBytes, sha256, rawBytes } = object
          return isOf("big")(object) ? { name, sizeBytes, sha256, rawBytes, kind: "globals" } : object
        }),
      "expected the rows of public.big, found none",
    ],
    [
      (objects) => changed(objects, { columns: ["m", "n", "text"] }),
      "expected n as column 1 of public.big, found m",
    ],
    [
      (objects) => changed(objects, { table: "small" }),
      "expected the rows of public.small once, found the same rows in the dump",
    ],
  ]
  for (const [attack, words] of attacks) {
    await writeFile(file, JSON.stringify({ ...manifest, objects: attack(manifest.objects) }))
    const { stdout, exitCode } = await run(["verify", manifest.id, "--deep", "--json"])
    const [result] = z.array(resultSchema).parse(JSON.parse(stdout))
    expect(result?.kind).toBe("deep-failed")
    expect(result?.problems.map(formatProblem).join("\n")).toContain(words)
    expect(exitCode).toBe(exitCodes.damaged)

    const restored = await run(["restore", manifest.id, "--into", `${database}_r`])
    const failure = failureOfRun(restored)
    expect(failure.kind).toBe("damaged")
    expect(failure.message).toContain(words)
    expect(await server.psql(`SELECT count(*) FROM pg_database WHERE datname LIKE '%${database}_r'`)).toBe(
      "0",
    )
  }
})
