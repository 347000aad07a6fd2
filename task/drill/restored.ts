import type { JoinedToc } from "../archive/table-data.ts"
import type { TocEntry } from "../archive/toc.ts"
import type { Context } from "../context.ts"
import type { Problem } from "../core/check.ts"
import type { Manifest, ManifestObject } from "../core/manifest.ts"
import { identifier, literal } from "../core/quote.ts"
import type { Clients } from "../postgres/clients.ts"
import type { Connection } from "../postgres/connection.ts"
import type { Session } from "../postgres/session.ts"

/** A restored database, and what it is to be like. */
export type Restored = {
  readonly manifest: Manifest
  /** What was restored; undefined where that was SQL, which nobody can look into. */
  readonly archive: RestoredArchive | undefined
  /** Within the database. */
  readonly session: Session
  /** More of them, to be closed by who opens them. */
  readonly openSession: () => Promise<Session>
  /** How many things at once, each with a session. */
  readonly jobs: number
  /** To the database, as the sessions have it. */
  readonly connection: Connection
  /** All that there are here. */
  readonly clients: readonly Clients[]
  readonly context: Pick<Context, "env" | "signal" | "progress">
}

export type RestoredArchive = {
  readonly joined: JoinedToc
  /** What of it was to be restored. */
  readonly entries: readonly TocEntry[]
  /** An object, decrypted and decompressed. */
  readonly open: (object: ManifestObject) => AsyncIterable<Buffer>
}

/** What a comparison found. */
export type Findings = {
  readonly problems: readonly Problem[]
  /** What could not be compared, and what is as odd as it was in the original: sentences without a full stop. */
  readonly notes: readonly string[]
}

export const nothingFound: Findings = { problems: [], notes: [] }

/** Schemas that no backup holds, as a condition on a name. */
export const ofUsers = (schema: string) => `(${schema} !~ '^pg_' AND ${schema} <> 'information_schema')`

/** What belongs to no extension, as a condition on an oid of the system table. */
export const ofNoExtension = (catalog: string, oid: string) =>
  `NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE deptype = 'e' AND classid = ${literal(`pg_catalog.${catalog}`)}::pg_catalog.regclass AND objid = ${oid})`

/** A relation's name in SQL. */
export function inSql({
  schema,
  name,
}: {
  readonly schema?: string | undefined
  readonly name: string
}): string {
  return `${identifier(schema ?? "")}.${identifier(name)}`
}
