import * as z from "zod"
import type { TocEntry } from "../archive/toc.ts"
import type { Session } from "../postgres/session.ts"

/** The name in SQL, as the session takes it, of the relation that an entry of the backup is; undefined where it is not there. */
export type NamesThere = (entry: Pick<TocEntry, "schema" | "name">) => string | undefined

/** Whether a name came here as it is: in databases without an encoding it may be any bytes, which can't be sent back. */
export function isText(name: string): boolean {
  return !name.includes("\ufffd")
}

const kinds = new Set(["TABLE", "SEQUENCE"])

/**
 * Names of tables and sequences. In a table of contents names are in the encoding of its database, which need not be that
 * of any text here: so each is looked up by the same name in another one, of the restored database.
 */
export async function readNamesThere(session: Session, found: readonly TocEntry[]): Promise<NamesThere> {
  const rows = z.array(z.object({ oid: z.int(), name: z.string() })).parse(
    await session.query(
      `SELECT c.oid::int8 AS oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
           FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind IN ('r', 'p', 'S')`,
    ),
  )
  const byOid = new Map(rows.filter(({ name }) => isText(name)).map(({ oid, name }) => [oid, name]))
  const byEntry = new Map(
    found.filter(({ kind }) => kinds.has(kind)).map((entry) => [keyOf(entry), byOid.get(entry.oid)]),
  )
  return (entry) => byEntry.get(keyOf(entry))
}

function keyOf({ schema = "", name }: Pick<TocEntry, "schema" | "name">): string {
  return JSON.stringify([schema, name])
}
