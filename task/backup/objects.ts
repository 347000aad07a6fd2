import { Readable } from "node:stream"
import type { Context } from "../context.ts"
import type { ManifestObject } from "../core/manifest.ts"
import { mapConcurrently } from "../core/map-concurrently.ts"
import type { PlannedSegment, SourceTable } from "../core/plan.ts"
import type { TablePatterns } from "../core/table-patterns.ts"
import type { Clients } from "../postgres/clients.ts"
import type { Connection } from "../postgres/connection.ts"
import { startCopyOut } from "../postgres/copy-out.ts"
import { startDump } from "../postgres/pg-dump.ts"
import type { PlannedTable } from "../postgres/tables.ts"
import { checkContents, tocKeeper } from "./check-contents.ts"
import type { BackupWriter } from "./writer.ts"

export type ObjectsOptions = {
  readonly clients: Clients
  readonly connection: Connection
  /** The id of the exported snapshot that all of them show. */
  readonly snapshot: string
  readonly serverMajor: number
  readonly source: { readonly encoding: string }
  /** SQL that makes the roles. */
  readonly globals: string
  /** A guess at the bytes of all of them before compression. */
  readonly expectedBytes: number
  /** The largest first. */
  readonly segments: readonly PlannedSegment[]
  /** Of a partial backup: what it is to hold, by patterns, and what that comes to, of every table that there is. */
  readonly choice: { readonly patterns: TablePatterns; readonly tables: readonly PlannedTable[] } | undefined
  /** How many streams at once. */
  readonly jobs: number
  readonly lockWaitSeconds: number
}

/** Stores all objects of a backup, several at once, and gives what the manifest says of them. */
export async function storeObjects(
  options: ObjectsOptions,
  writer: BackupWriter,
  { env, log }: Pick<Context, "env" | "log">,
): Promise<ManifestObject[]> {
  const { clients, connection, snapshot, serverMajor, source, segments, jobs, lockWaitSeconds } = options
  const { choice } = options
  const { encoding } = source
  const onWarning = (warning: string) => log.warn(warning)
  const withoutRowsOf: SourceTable[] = [...new Set(segments.map(({ table }) => table))]
  const bytesElsewhere = withoutRowsOf.reduce((sum, { bytes }) => sum + bytes, 0)

  const storeMain = async (): Promise<ManifestObject> => {
    const kept = choice && tocKeeper()
    const stored = await writer.store({
      baseName: "main.dump",
      expectedBytes: Math.max(0, options.expectedBytes - bytesElsewhere),
      start: (stdout, signal) =>
        startDump(
          clients,
          connection,
          {
            snapshot,
            encoding,
            lockWaitSeconds,
            patterns: choice?.patterns,
            withoutRowsOf,
            env,
            onWarning,
            signal,
          },
          stdout,
        ),
      onBytes: kept?.take,
    })
    if (choice && kept) checkContents(kept.toc(), choice.tables, withoutRowsOf)
    return { ...stored, kind: "main" }
  }
  const storeGlobals = async (): Promise<ManifestObject> => {
    const stored = await writer.store({
      baseName: "globals.sql",
      expectedBytes: 0,
      source: Readable.from([Buffer.from(options.globals)]),
    })
    return { ...stored, kind: "globals" }
  }
  const storeSegment = async (segment: PlannedSegment, index: number): Promise<ManifestObject> => {
    const { table, pages, expectedBytes } = segment
    let rows: number | undefined
    const onRows = (count: number) => {
      rows = count
    }
    const stored = await writer.store({
      baseName: `data/${String(index + 1).padStart(4, "0")}.copy`,
      expectedBytes,
      start: (stdout, signal) =>
        startCopyOut(
          clients,
          connection,
          segment,
          { snapshot, serverMajor, lockWaitSeconds, encoding, onRows, env, signal },
          stdout,
        ),
    })
    if (rows === undefined) throw new Error(`psql does not say how many rows of ${table.name} it copied`)
    const { schema, name, columns } = table
    return { ...stored, kind: "segment", schema, table: name, columns: [...columns], rows, pages }
  }

  // pg_dump first: until it has its locks, another session may queue for one in between.
  const work = [storeMain, ...segments.map((segment, index) => () => storeSegment(segment, index))]
  const objects = await mapConcurrently(work, jobs, (store) => store())
  // Last, so that a backup that fails in pg_dump has stored nothing.
  return [...objects, await storeGlobals()]
}
