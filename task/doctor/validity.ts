import * as z from "zod"
import { formatCount } from "../console/format.ts"
import { identifier } from "../core/quote.ts"
import { readCollationVersions } from "../postgres/collation-version.ts"
import type { Finding } from "./finding.ts"
import { listed } from "./listed.ts"
import type { Check } from "./looking.ts"

/** What the database itself holds for not valid, or sorted by other rules than the server's. */
export function validityChecks(database: string): readonly Check[] {
  return [
    {
      area: "content",
      about: "invalid indexes",
      find: async ({ rows }) => (await rows(indexRow, indexesQuery)).map(indexFinding),
    },
    {
      area: "content",
      about: "constraints that are not validated",
      find: async ({ rows }) => constraintFindings(await rows(constraintRow, constraintsQuery), database),
    },
    {
      area: "content",
      about: "versions of collations",
      find: async ({ rows, session }) => {
        const versions = await readCollationVersions(session)
        return [
          ...(versions ? [databaseCollation(versions)] : []),
          ...(await rows(collationRow, collationsQuery)).map(collationFinding),
        ]
      },
    },
  ]
}

const own = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"

const indexRow = z.object({ index: z.string(), table: z.string(), isLive: z.boolean() })

/** An index of a partitioned table is invalid until each partition has its own, and is none by itself. */
const indexesQuery = `
  SELECT format('%I.%I', n.nspname, c.relname) AS index, format('%I.%I', tn.nspname, t.relname) AS table,
         i.indislive AS "isLive"
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
   WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relpersistence <> 't' AND ${own} ORDER BY 1`

function indexFinding({ index, table, isLive }: z.output<typeof indexRow>): Finding {
  return {
    check: "content.invalid-indexes",
    severity: "warning",
    subject: index,
    what: `the index on ${table} is invalid`,
    why: "It was left by a CREATE INDEX or REINDEX CONCURRENTLY that failed. No query uses it, a unique one proves nothing, and pg_dump leaves it out: a restored database does not have it.",
    fix: isLive ? `REINDEX INDEX ${index};` : `DROP INDEX ${index};`,
  }
}

const constraintRow = z.object({ constraint: z.string(), table: z.string() })

const constraintsQuery = `
  SELECT quote_ident(k.conname) AS constraint, format('%I.%I', n.nspname, c.relname) AS table
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE NOT k.convalidated AND k.contype IN ('c', 'f', 'n') AND k.conparentid = 0
     AND coalesce(to_jsonb(k) ->> 'conenforced', 'true') = 'true' AND ${own} ORDER BY 2, 1`

function constraintFindings(
  constraints: readonly z.output<typeof constraintRow>[],
  database: string,
): Finding[] {
  if (constraints.length === 0) return []
  return [
    {
      check: "content.not-valid",
      severity: "notice",
      subject: database,
      what: `${formatCount(constraints.length, "constraint")} were never validated: ${listed(constraints.map(({ constraint, table }) => `${constraint} on ${table}`))}`,
      why: "Rows from before they were made may break them. The backup has them as they are, NOT VALID; a foreign key that rows break is restored so, too.",
      fix: constraints
        .map(({ constraint, table }) => `ALTER TABLE ${table} VALIDATE CONSTRAINT ${constraint};`)
        .join(" "),
    },
  ]
}

function databaseCollation({
  name,
  before,
  now,
}: {
  readonly name: string
  readonly before: string
  readonly now: string
}): Finding {
  return {
    check: "content.collation-version",
    severity: "warning",
    subject: name,
    what: `text was sorted by version ${before} of the database's collation, and the server has ${now}`,
    why: "Indexes may miss rows, and unique ones may hold the same value twice, which a restore then refuses.",
    fix: `REINDEX DATABASE ${identifier(name)}; ALTER DATABASE ${identifier(name)} REFRESH COLLATION VERSION;`,
  }
}

const collationRow = z.object({
  collation: z.string(),
  before: z.string(),
  now: z.string(),
  database: z.string(),
})

/** Only those that something was made with. */
const collationsQuery = `
  SELECT format('%I.%I', n.nspname, c.collname) AS collation, c.collversion AS before,
         pg_collation_actual_version(c.oid) AS now, quote_ident(current_database()) AS database
    FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
   WHERE c.collversion <> pg_collation_actual_version(c.oid)
     AND EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_collation'::regclass AND d.refobjid = c.oid)
   ORDER BY 1`

function collationFinding({ collation, before, now, database }: z.output<typeof collationRow>): Finding {
  return {
    check: "content.collation-version",
    severity: "warning",
    subject: collation,
    what: `text was sorted by version ${before} of the collation, and the server has ${now}`,
    why: "Indexes may miss rows, and unique ones may hold the same value twice, which a restore then refuses.",
    fix: `REINDEX DATABASE ${database}; ALTER COLLATION ${collation} REFRESH VERSION;`,
  }
}
