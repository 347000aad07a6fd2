import * as z from "zod"
import { formatRelationName } from "../archive/relation-name.ts"
import type { TocEntry } from "../archive/toc.ts"
import type { Problem } from "../core/check.ts"
import { type Findings, ofNoExtension, ofUsers, type Restored } from "./restored.ts"

const names = z.array(z.object({ schema: z.string(), owner: z.string(), name: z.string() }))

/** Indexes that the server does not use, or does not keep up to date. Those of partitioned tables have nothing in them. */
export async function findInvalidIndexes({ session }: Pick<Restored, "session">): Promise<Findings> {
  const found = names.parse(
    await session.query(`
      SELECT n.nspname AS schema, t.relname AS owner, c.relname AS name
        FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
        JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind = 'i' AND NOT (i.indisvalid AND i.indisready AND i.indislive) AND ${ofUsers("n.nspname")}
       ORDER BY 1, 2, 3`),
  )
  return {
    problems: found.map(({ schema, name }) => ({
      object: `index ${formatRelationName({ schema, name })}`,
      expected: "a valid index",
      found: "an invalid one, which the server does not use",
    })),
    notes: [],
  }
}

const constraintRow = z.object({
  schema: z.string(),
  owner: z.string(),
  name: z.string(),
  isLocal: z.boolean(),
})

/** Constraints that rows may violate although the backup does not say so. */
export async function findInvalidConstraints(
  { session }: Pick<Restored, "session">,
  entries: readonly TocEntry[],
): Promise<Findings> {
  const found = z.array(constraintRow).parse(
    await session.query(`
      SELECT n.nspname AS schema, coalesce(t.relname, d.typname) AS owner, c.conname AS name, c.conislocal AS "isLocal"
        FROM pg_catalog.pg_constraint c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
        LEFT JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
        LEFT JOIN pg_catalog.pg_type d ON d.oid = c.contypid
       WHERE NOT c.convalidated AND pg_catalog.to_jsonb(c) ->> 'conenforced' IS DISTINCT FROM 'false'
         AND ${ofUsers("n.nspname")} AND ${ofNoExtension("pg_class", "c.conrelid")}
       ORDER BY 1, 2, 3`),
  )
  const known = entries.filter(({ definition }) => definition.includes("NOT VALID"))
  const problems = found
    .filter(
      ({ isLocal, ...one }) =>
        !known.some(({ schema, name }) =>
          // What a table has from its parent has the same name there, and only there it is in the backup.
          isLocal
            ? schema === one.schema && name === `${one.owner} ${one.name}`
            : name.endsWith(` ${one.name}`),
        ),
    )
    .map(
      ({ schema, owner, name }): Problem => ({
        object: `constraint ${name} of ${formatRelationName({ schema, name: owner })}`,
        expected: "valid for all rows",
        found: "for new rows alone (NOT VALID)",
      }),
    )
  return { problems, notes: [] }
}

/** Foreign keys and the like whose own triggers are off, so that nothing looks to them. No dump can say so. */
export async function findDisabledKeys({ session }: Pick<Restored, "session">): Promise<Findings> {
  const found = names.parse(
    await session.query(`
      SELECT DISTINCT n.nspname AS schema, t.relname AS owner, c.conname AS name
        FROM pg_catalog.pg_trigger g
        JOIN pg_catalog.pg_constraint c ON c.oid = g.tgconstraint
        JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
       WHERE g.tgisinternal AND g.tgenabled = 'D'
         AND pg_catalog.to_jsonb(c) ->> 'conenforced' IS DISTINCT FROM 'false' AND ${ofUsers("n.nspname")}
       ORDER BY 1, 2, 3`),
  )
  return {
    problems: found.map(({ schema, owner, name }) => ({
      object: `constraint ${name} of ${formatRelationName({ schema, name: owner })}`,
      expected: "looked to with each change",
      found: "its triggers are disabled",
    })),
    notes: [],
  }
}
