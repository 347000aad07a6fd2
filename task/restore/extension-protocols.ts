import * as z from "zod"
import type { RestorePlan } from "../archive/plan-restore.ts"
import type { TocEntry } from "../archive/toc.ts"
import { formatName } from "../console/format.ts"
import type { Manifest } from "../core/manifest.ts"
import { identifier, literal } from "../core/quote.ts"
import { PgstowError } from "../errors.ts"
import { QueryError } from "../postgres/conversation.ts"
import { readSetting } from "../postgres/read-setting.ts"
import type { Session } from "../postgres/session.ts"
import type { Target } from "../postgres/target.ts"
import type { TargetServer } from "../postgres/target-server.ts"
import type { Foreseen } from "./foresee.ts"
import type { RestoreJob } from "./job.ts"

/**
 * What an extension wants of a restore beside CREATE EXTENSION and the rows of its tables. Its statements are run
 * without a search_path.
 */
type Protocol = {
  readonly extension: string
  /** Its own tables and sequences that are dumped, by their names in the schema that it is in, or by schemas of their own. */
  readonly own?: { readonly names?: readonly string[]; readonly schemas?: readonly string[] }
  /** The setting that names the one database of a server that may have it. */
  readonly onlyIn?: string
  /** Its rows are taken by the version alone that wrote them. */
  readonly sameVersion?: boolean
  /** Its function to call before anything else of it is restored. */
  readonly before?: string
  /** Into an existing database: run in the transaction, after its rows, which all stand before this sequence's value. */
  readonly afterRows?: {
    readonly sequence: readonly [schema: string, name: string]
    readonly statement: string
  }
  /** Its function to call when everything is there, and also where that has failed: it undoes what `before` has done. */
  readonly atEnd?: string
}

/** Calls a function of an extension, in whichever schema that is. */
const call = (extension: string, name: string) =>
  `DO ${literal(`BEGIN
    EXECUTE (SELECT pg_catalog.format('SELECT %I.${name}()', n.nspname)
               FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
              WHERE e.extname = '${extension}');
  END`)};`

/**
 * - timescaledb: its documentation of backup and restore. While `timescaledb.restoring` is on, which the database gets
 *   as a setting, its triggers and hooks leave rows and tables alone, and its workers stand still.
 * - pg_cron: its jobs begin with the next minute of the server's clock once they are committed, and name the database
 *   they run in: those of a copy would do the original's work a second time. What the transaction itself wrote it knows
 *   by xmin, so jobs that were there before stay as they are.
 *
 * PostGIS and pg_partman need nothing more: pg_dump has the rows of their tables that are not their own, and pg_partman's
 * worker goes to the databases alone that `pg_partman_bgw.dbname` lists.
 */
const protocols: readonly Protocol[] = [
  {
    extension: "timescaledb",
    own: {
      schemas: ["_timescaledb_catalog", "_timescaledb_config", "_timescaledb_internal", "_timescaledb_cache"],
    },
    sameVersion: true,
    before: "timescaledb_pre_restore",
    atEnd: "timescaledb_post_restore",
  },
  {
    extension: "pg_cron",
    own: { schemas: ["cron"] },
    onlyIn: "cron.database_name",
    afterRows: {
      sequence: ["cron", "jobid_seq"],
      statement: `DO ${literal(`DECLARE
        stopped text;
      BEGIN
        WITH changed AS (
          UPDATE cron.job SET active = false
           WHERE active AND xmin = pg_catalog.pg_current_xact_id()::pg_catalog.xid RETURNING jobid)
        SELECT pg_catalog.string_agg(jobid::pg_catalog.text, ', ' ORDER BY jobid) INTO stopped FROM changed;
        IF stopped IS NOT NULL THEN
          RAISE WARNING 'the jobs of pg_cron are inactive, so that none runs twice. Where this database takes the original''s place: UPDATE cron.job SET active = true WHERE jobid IN (%);', stopped;
        END IF;
      END`)};`,
    },
  },
  { extension: "postgis", own: { names: ["spatial_ref_sys"] } },
  { extension: "postgis_topology", own: { schemas: ["topology"] } },
  {
    extension: "pg_partman",
    own: { names: ["part_config", "part_config_sub", "custom_time_partitions"] },
  },
]

/** The extensions that want more of a restore than the rows of their tables. */
export const extensionsWithProtocol: readonly string[] = protocols
  .filter(({ onlyIn, sameVersion, before }) => onlyIn !== undefined || sameVersion || before !== undefined)
  .map(({ extension }) => extension)

/** Whether an entry brings rows of a table, or a value of a sequence, that the extension has made, as far as is known. */
export function isOfExtension({ schema = "", name }: TocEntry, extension: string): boolean {
  const own = protocols.find((one) => one.extension === extension)?.own
  return own !== undefined && (own.schemas?.includes(schema) === true || own.names?.includes(name) === true)
}

/** What extensions that are planned will refuse by rules of their own. */
export async function foreseeProtocols(
  session: Session,
  {
    plan,
    manifest,
    name,
    exists,
  }: {
    readonly plan: RestorePlan
    readonly manifest: Manifest
    readonly name: string
    readonly exists: boolean
  },
  { availableExtensions }: Pick<TargetServer, "availableExtensions">,
): Promise<Foreseen[]> {
  const found: Foreseen[] = []
  for (const { extension, onlyIn, sameVersion } of protocols) {
    // What the server lacks is said as that.
    if (!plan.extensions.includes(extension) || !availableExtensions.has(extension)) continue
    const fail = (why: string, waysOut: readonly string[]) =>
      found.push({
        kind: "postgres",
        what: `the extension ${extension}, and what needs it`,
        why,
        waysOut: [...waysOut, `--skip-extension ${extension}, which leaves out its tables' rows, too`],
      })
    if (onlyIn !== undefined) {
      const only = await readSetting(session, onlyIn)
      if (only === null)
        fail(`the target's server does not load ${extension}`, [
          `${extension} in shared_preload_libraries, and a restart`,
        ])
      else if (only !== undefined && exists && only !== name)
        fail(`${extension} may only be in the database ${formatName(only)}, by ${onlyIn}`, [])
      else if (!exists)
        fail(
          `${extension} may only be in the database that ${onlyIn} names${only === undefined ? "" : ` (${formatName(only)})`}, and a new one has another name until it is complete`,
          only === name ? [`CREATE DATABASE ${identifier(name)}; and --into that`] : [],
        )
    }
    const before = manifest.source.extensions.find((one) => one.name === extension)?.version
    const now = availableExtensions.get(extension)
    if (sameVersion && before !== undefined && typeof now === "string" && before !== now)
      fail(
        `${extension} takes back only what the same version wrote: it is ${formatName(before)} in the backup, and ${formatName(now)} on this server`,
        [`install ${formatName(before)} on the server, and update it after the restore`],
      )
  }
  return found
}

/** What a restore runs for the extensions of its plan. */
export type ExtensionStatements = {
  /** By the dumpId of the entry that each is to follow at once. */
  readonly after: ReadonlyMap<number, string>
  /** The function that undoes some of that, by the extension. */
  readonly atEnd: ReadonlyMap<string, string>
}

/** The extensions that the restore does not make but whose contents it brings: into a database that has them already. */
export function extensionsTaking(
  { archive, options }: Pick<RestoreJob, "archive" | "options">,
  { extensions }: RestorePlan,
): string[] {
  // Tables that were asked for bring nothing of an extension's own.
  if (options.selection !== undefined) return []
  const without = [...extensions, ...(options.leaveOut?.extensions ?? [])]
  return archive
    .filter(({ kind, name }) => kind === "EXTENSION" && !without.includes(name))
    .map(({ name }) => name)
}

/**
 * @param into a database that is there has `taking` already, and is to take their contents
 */
export function extensionStatements(
  { entries, extensions }: RestorePlan,
  into: { readonly isNew: true } | { readonly isNew: false; readonly taking: readonly string[] },
): ExtensionStatements {
  const after = new Map<number, string>()
  const atEnd = new Map<string, string>()
  const add = (isIt: (entry: TocEntry) => boolean, statement: string) => {
    const entry = entries.find(isIt)
    if (entry) after.set(entry.dumpId, [after.get(entry.dumpId), statement].filter(Boolean).join("\n"))
  }
  for (const protocol of protocols) {
    const { extension, before, afterRows } = protocol
    const isThere = !into.isNew && into.taking.includes(extension)
    if (before !== undefined && (isThere || extensions.includes(extension))) {
      if (isThere)
        add(({ kind, section }) => section === "pre-data" && !unreliable.test(kind), call(extension, before))
      else add(({ kind, name }) => kind === "EXTENSION" && name === extension, call(extension, before))
      if (protocol.atEnd !== undefined) atEnd.set(extension, protocol.atEnd)
    }
    if (into.isNew || !afterRows) continue
    const [schema, name] = afterRows.sequence
    add(
      (entry) => entry.kind === "SEQUENCE SET" && entry.schema === schema && entry.name === name,
      afterRows.statement,
    )
  }
  return { after, atEnd }
}

/** Entries that pg_restore does not run as they stand, or not at their place. */
const unreliable = /^(ENCODING|STDSTRINGS|SEARCHPATH|DATABASE|SCHEMA$|ACL|DEFAULT ACL|COMMENT|SECURITY LABEL)/

/**
 * Runs what is to be run at the end, for the extensions that are in the database: where the restore has failed, they
 * may not be. Throws a PgstowError where one is refused.
 */
export async function endProtocols(
  target: Pick<Target, "inside">,
  database: string,
  { atEnd }: Pick<ExtensionStatements, "atEnd">,
): Promise<void> {
  if (atEnd.size === 0) return
  const session = await target.inside(database)
  const there = z.array(z.object({ name: z.string() })).parse(await session.query(installed))
  for (const [extension, name] of atEnd) {
    if (!there.some((one) => one.name === extension)) continue
    try {
      await session.execute(call(extension, name))
    } catch (cause) {
      if (!(cause instanceof QueryError)) throw cause
      throw new PgstowError(
        "postgres",
        `the extension ${extension} in ${formatName(database)} still waits for the restore to end: ${cause.reason}`,
        { cause, hint: `Call its function ${name}() in that database when nothing is in the way any more.` },
      )
    }
  }
}

const installed = "SELECT extname AS name FROM pg_catalog.pg_extension"
