import * as z from "zod"
import { isBackupId } from "./backup-id.ts"
import { patternsInWords } from "./table-patterns.ts"

/** The version of the format that this program writes. Described to the byte in `task/FORMAT.md`. */
export const formatVersion = 1

/** That of a backup from which something was left out: older programs, which would take it for all there was, refuse it. */
export const partialFormatVersion = 2

const count = z.int().nonnegative()
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "must be 64 hexadecimal digits")
const time = z.iso.datetime()

/** An object's name below the backup's folder: it can't leave it, and is no manifest or check. */
const name = z
  .string()
  .regex(/^(?!manifest\.json$|checks\/)[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/)

/** `sizeBytes` and `sha256` are of the stored bytes, as anyone can check without a key. */
const stored = {
  sizeBytes: count,
  sha256,
  /** Bytes before compression and encryption. */
  rawBytes: count,
}

const storedObject = z.discriminatedUnion("kind", [
  /** `main`: pg_dump's custom format. `plain`: its SQL, in its place. `globals`: SQL that makes the roles. */
  z.object({ name, kind: z.enum(["main", "plain", "globals"]), ...stored }),
  /** Rows of a table that `main` holds without any, in COPY's text format and the database's encoding. */
  z.object({
    name,
    kind: z.literal("segment"),
    ...stored,
    schema: z.string().min(1),
    table: z.string().min(1),
    /** The columns in the order in which COPY has them. */
    columns: z.array(z.string().min(1)).min(1),
    rows: count,
    /** The table's pages that the rows were in, from `first` on and before `end`; null where it was not cut. */
    pages: z.object({ first: count, end: count.nullable() }).nullable(),
  }),
])

const patterns = z.array(z.string().min(1)).default([])

const fields = z.object({
  /**
   * The public key that the manifest is signed by, a space, and its signature in base64. First, so that it is a line by
   * itself: what is signed is all other bytes.
   */
  signature: z.string().optional(),
  format: z.union([z.literal(formatVersion), z.literal(partialFormatVersion)]),
  id: z.string().refine(isBackupId, "must be a backup id"),
  /** The name that the catalog keeps the backup under: the database's own, or the one given. */
  database: z.string().min(1),
  /** The program that wrote the backup: "pgstow 0.1.0". */
  writtenBy: z.string(),
  startedAt: time,
  finishedAt: time,
  source: z.object({
    /** The database's name on its server. */
    database: z.string(),
    /** As `server_version` says it: "17.10". */
    serverVersion: z.string(),
    /** As `pg_dump --version` says it. */
    clientVersion: z.string(),
    /** What `pg_database_size` said, in bytes. */
    sizeBytes: count,
    encoding: z.string(),
    /** One of libc, icu, builtin; empty where it is not known. */
    localeProvider: z.string(),
    collate: z.string(),
    ctype: z.string(),
    /** The ICU or builtin locale, where the provider is not libc. */
    locale: z.string().nullable(),
    icuRules: z.string().nullable(),
    /** ALTER DATABASE … SET, each "name=value". */
    settings: z.array(z.string()),
    /** The roles that own something, or were granted something, in the database. */
    roles: z.array(z.string()),
    extensions: z.array(z.object({ name: z.string(), version: z.string() })),
    tables: count,
    /**
     * Only where a column holds the type money: the lc_monetary that its amounts were of, the digits of its smallest
     * unit, and the lc_monetary that they are written by.
     */
    money: z.object({ lcMonetary: z.string(), digits: z.int(), writtenBy: z.string() }).optional(),
    /** What sessions have by default of what values may be computed by: time zone, style of dates, text search configuration. */
    defaults: z.record(z.string(), z.string()).optional(),
  }),
  /**
   * Where the backup was imported from. `source` then holds what the dump tells, and is empty where it does not;
   * its `sizeBytes` is that of the dump.
   */
  importedFrom: z
    .object({
      /** Who wrote the file. */
      system: z.enum(["emiti", "sentinel", "pg_dump"]),
      /** The file's name, without its folder. */
      file: z.string(),
      /** Of the file as it was. */
      sha256,
      at: time,
    })
    .optional(),
  /** About how many rows the tables with the most had; names as SQL writes them. Not of an imported backup. */
  tableRows: z.array(z.object({ table: z.string(), rows: count })).optional(),
  /**
   * What of `main` is to be made with schemas in the search_path, since SQL can't say where its operators are: by the
   * system table and the oid that its table of contents names. Missing where there is none.
   */
  operatorPaths: z
    .array(z.object({ catalog: count, oid: count, object: z.string(), schemas: z.array(z.string()).min(1) }))
    .optional(),
  /**
   * Functions without a search_path of their own that look `names` up without a schema, and that are called while a
   * restore makes and fills what is in `usedBy`: by the oid of its table or materialized view. Missing where there is none.
   */
  functionPaths: z
    .array(
      z.object({
        function: z.string(),
        extension: z.string().optional(),
        names: z.array(z.string()).min(1),
        schemas: z.array(z.string()).min(1),
        usedBy: z.array(z.object({ relation: count, object: z.string() })).min(1),
      }),
    )
    .optional(),
  /** The tables, by their names in SQL, whose rows a standby does not have: unlogged ones. Missing where there is none. */
  withoutRows: z.array(z.string()).optional(),
  /** What was chosen, or left out, by patterns as pg_dump has them. Only where something was, and then the format is 2. */
  partial: z
    .object({
      tables: patterns,
      schemas: patterns,
      excludeTables: patterns,
      excludeSchemas: patterns,
      excludeTableData: patterns,
      /** The tables of which `main` has the definition, and the backup no rows. */
      withoutRows: z.array(z.object({ schema: z.string().min(1), table: z.string().min(1) })).default([]),
    })
    .optional(),
  /** What the backup is a picture of. `lsn` is null where the server would not say. */
  snapshot: z.object({ time, lsn: z.string().nullable() }),
  compression: z.object({ algorithm: z.literal("zstd"), level: z.int() }),
  /** The public keys that the backup was sealed for; `none` where its user asked for that. */
  encryption: z.discriminatedUnion("algorithm", [
    z.object({ algorithm: z.literal("age"), recipients: z.array(z.string()).min(1) }),
    z.object({ algorithm: z.literal("none") }),
  ]),
  objects: z
    .array(storedObject)
    .min(1)
    .refine(
      (objects) => objects.filter(({ kind }) => kind === "main" || kind === "plain").length === 1,
      "must hold one main object, or one plain one",
    )
    .refine(
      (objects) => new Set(objects.map(({ name }) => name)).size === objects.length,
      "names an object twice",
    ),
})

const manifestSchema = fields.refine(
  ({ format, partial }) => (format === partialFormatVersion) === (partial !== undefined),
  {
    path: ["format"],
    message: "must be 2 where the backup is partial, and 1 where it is not",
  },
)

export type Manifest = z.infer<typeof manifestSchema>
export type ManifestObject = Manifest["objects"][number]
export type SegmentObject = Extract<ManifestObject, { kind: "segment" }>

/** Why a manifest can't be read: `newer` where its format version is not ours, `damaged` otherwise. */
export class ManifestError extends Error {
  readonly reason: "newer" | "damaged"

  constructor(reason: "newer" | "damaged", message: string) {
    super(message)
    this.name = "ManifestError"
    this.reason = reason
  }
}

/** Made once: to make one takes longer than to check a manifest by it. */
const onlyFormat = z.object({ format: z.int() })

/** Reads a manifest's text. Throws a ManifestError that names the first thing wrong with it. */
export function parseManifest(text: string): Manifest {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw new ManifestError("damaged", "the manifest is not JSON")
  }
  const format = onlyFormat.safeParse(json)
  if (format.success && ![formatVersion, partialFormatVersion].includes(format.data.format))
    throw new ManifestError(
      "newer",
      `the manifest has format version ${format.data.format}; this pgstow reads versions ${formatVersion} and ${partialFormatVersion}`,
    )
  const manifest = manifestSchema.safeParse(json)
  if (manifest.success) return manifest.data
  const [issue] = manifest.error.issues
  throw new ManifestError("damaged", `the manifest is damaged: ${issue?.path.join(".")}: ${issue?.message}`)
}

export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifestSchema.parse(manifest), null, 2)}\n`
}

/** What a partial backup holds and what not, in words: "only tables audit.*"; undefined of a whole one. */
export function partialInWords({ partial }: Pick<Manifest, "partial">): string | undefined {
  return partial && patternsInWords(partial)
}

/** The bytes that a backup takes up, without its manifest. */
export function storedBytes(manifest: Manifest): number {
  return manifest.objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}

/** The bytes that went into a backup, before compression. */
export function rawBytes(manifest: Manifest): number {
  return manifest.objects.reduce((sum, object) => sum + object.rawBytes, 0)
}
