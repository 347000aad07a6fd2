import { createHash } from "node:crypto"
import { copyFile, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as z from "zod"
import type { Random } from "./random.ts"

/** A manifest with all that is edited here; whatever else it has is kept. */
const editable = z.looseObject({
  format: z.int(),
  id: z.string(),
  database: z.string(),
  source: z.looseObject({ encoding: z.string(), tables: z.int() }),
  encryption: z.looseObject({ algorithm: z.string(), recipients: z.array(z.string()) }),
  compression: z.looseObject({ algorithm: z.string() }),
  objects: z.array(
    z.looseObject({
      name: z.string(),
      kind: z.string(),
      sizeBytes: z.int(),
      sha256: z.string(),
      rawBytes: z.int(),
      schema: z.string().optional(),
      table: z.string().optional(),
      columns: z.array(z.string()).optional(),
      rows: z.int().optional(),
      pages: z.looseObject({ first: z.int(), end: z.int().nullable() }).nullable().optional(),
    }),
  ),
})

type Editable = z.infer<typeof editable>
type Segment = Editable["objects"][number]

export type EditedCopy = {
  /** The folder of the copied backup. */
  readonly copy: string
  /** The manifest in it. */
  readonly path: string
  /** The folder of an earlier backup of the same database. */
  readonly earlier: string
  readonly random: Random
}

/** What somebody who may write to the storage could make a manifest say. */
export const manifestEdits: Readonly<Record<string, (copy: EditedCopy) => Promise<void>>> = {
  "a segment less": edit((manifest, { random }) => {
    const segment = random.pick(segmentsOf(manifest))
    manifest.objects = manifest.objects.filter((object) => object !== segment)
  }),
  "no segments": edit((manifest) => {
    manifest.objects = manifest.objects.filter(({ kind }) => kind !== "segment")
  }),
  "a segment twice": edit(async (manifest, { copy, random }) => {
    const segment = random.pick(segmentsOf(manifest))
    await copyFile(join(copy, segment.name), join(copy, "data/0099.copy.zst.age"))
    manifest.objects.push({ ...segment, name: "data/0099.copy.zst.age" })
  }),
  "a segment is globals": edit((manifest, { random }) => {
    const segment = random.pick(segmentsOf(manifest))
    const { name, sizeBytes, sha256, rawBytes } = segment
    manifest.objects = manifest.objects.map((object) =>
      object === segment ? { name, kind: "globals", sizeBytes, sha256, rawBytes } : object,
    )
  }),
  "the globals are the main object": edit((manifest) => {
    for (const object of manifest.objects) {
      if (object.kind === "main") object.kind = "globals"
      else if (object.kind === "globals") object.kind = "main"
    }
  }),
  "the main object is SQL": edit((manifest) => {
    for (const object of manifest.objects) if (object.kind === "main") object.kind = "plain"
  }),
  "no globals": edit((manifest) => {
    manifest.objects = manifest.objects.filter(({ kind }) => kind !== "globals")
  }),
  "columns in another order": edit((manifest, { random }) => {
    const segment = random.pick(segmentsOf(manifest).filter(({ columns = [] }) => columns.length > 1))
    segment.columns = segment.columns?.toReversed()
  }),
  "a column less": edit((manifest, { random }) => {
    const segment = random.pick(segmentsOf(manifest))
    segment.columns = segment.columns?.slice(0, -1)
  }),
  "another table of the same shape": edit((manifest, { random }) => {
    for (const segment of random.pick([segmentsOf(manifest), segmentsOf(manifest).slice(0, 1)]))
      if (segment.table === "first") segment.table = "alike"
  }),
  "a table that does not exist": edit((manifest, { random }) => {
    random.pick(segmentsOf(manifest)).table = "nowhere"
  }),
  "a table with a quote in its name": edit((manifest, { random }) => {
    random.pick(segmentsOf(manifest)).table = "first\" (n) FROM PROGRAM 'touch /tmp/pgstow-faults-owned' --"
  }),
  "another schema": edit((manifest, { random }) => {
    random.pick(segmentsOf(manifest)).schema = "pg_catalog"
  }),
  "segments have changed tables": edit((manifest) => {
    const [a, b] = segmentsOf(manifest)
    if (!a || !b) return
    const table = a.table
    a.table = b.table
    b.table = table
  }),
  "other rows": edit((manifest, { random }) => {
    const segment = random.pick(segmentsOf(manifest))
    segment.rows = Math.max(0, (segment.rows ?? 0) + random.pick([-1, 1, 1_000]))
  }),
  "no rows": edit((manifest, { random }) => {
    random.pick(segmentsOf(manifest)).rows = 0
  }),
  "objects have changed names": edit((manifest, { random }) => {
    const [a, b] = random.shuffle(manifest.objects)
    if (!a || !b) return
    const name = a.name
    a.name = b.name
    b.name = name
  }),
  "other sizes": edit((manifest, { random }) => {
    const object = random.pick(manifest.objects)
    object.sizeBytes += random.pick([-1, 1])
  }),
  "another size before compression": edit((manifest, { random }) => {
    random.pick(manifest.objects).rawBytes += random.pick([-1, 1, 1_000_000])
  }),
  "an object of an earlier backup": edit(async (manifest, { copy, earlier, random }) => {
    const object = random.pick(manifest.objects.filter(({ kind }) => kind === "main"))
    const bytes = await readFile(join(earlier, object.name))
    await writeFile(join(copy, object.name), bytes)
    object.sizeBytes = bytes.length
    object.sha256 = createHash("sha256").update(bytes).digest("hex")
  }),
  "it is not encrypted": edit((manifest) => {
    manifest.encryption = { algorithm: "none", recipients: [] }
  }),
  "another recipient": edit((manifest) => {
    manifest.encryption.recipients = ["age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"]
  }),
  "another compression": edit((manifest) => {
    manifest.compression.algorithm = "gzip"
  }),
  "a newer format": edit((manifest) => {
    manifest.format = 99
  }),
  "another id": edit((manifest) => {
    manifest.id = "20200101T000000Z-aaaaaaaa"
  }),
  "another database": edit((manifest) => {
    manifest.database = "another"
  }),
  "an object outside of the backup": edit((manifest, { random }) => {
    random.pick(manifest.objects).name = random.pick([
      "../manifest.json",
      "/etc/passwd",
      "data/../../x",
      "a//b",
      "",
    ])
  }),
  "an object whose name a terminal obeys": edit((manifest, { random }) => {
    random.pick(manifest.objects).name = "main\u001b[2Jdump"
  }),
  "an encoding that a terminal obeys": edit((manifest) => {
    manifest.source.encoding = "UTF8\u001b]0;owned\u0007\u009b2J"
  }),
  "sizes that no number holds": edit((manifest, { random }) => {
    random.pick(manifest.objects).sizeBytes = 2 ** 60
  }),
  "a name twice": edit((manifest) => {
    const [first] = manifest.objects
    if (first) manifest.objects.push(first)
  }),
  "no objects": edit((manifest) => {
    manifest.objects = []
  }),
  "nothing at all": ({ path }) => writeFile(path, "null"),
}

function segmentsOf({ objects }: Editable): Segment[] {
  return objects.filter(({ kind }) => kind === "segment")
}

function edit(change: (manifest: Editable, copy: EditedCopy) => void | Promise<void>) {
  return async (copy: EditedCopy) => {
    const manifest = editable.parse(JSON.parse(await readFile(copy.path, "utf8")))
    await change(manifest, copy)
    await writeFile(copy.path, `${JSON.stringify(manifest, null, 2)}\n`)
  }
}
