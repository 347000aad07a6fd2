import { formatCount } from "../console/format.ts"
import { identifier } from "../core/quote.ts"
import { type FunctionPath, readFunctionPaths } from "../postgres/function-paths.ts"
import { type OperatorPath, readOperatorPaths } from "../postgres/operator-paths.ts"
import { readDatabaseSettings } from "../postgres/server.ts"
import { readTriggerPaths, type TriggerPath } from "../postgres/trigger-paths.ts"
import type { Finding } from "./finding.ts"
import { listed } from "./listed.ts"
import type { Check } from "./looking.ts"

/** What finds names by a search_path, which is empty in a restore. */
export function lookupChecks(database: string): readonly Check[] {
  return [
    {
      area: "content",
      about: "functions that look names up without a schema",
      find: async ({ session }) => {
        const settings = await readDatabaseSettings(session)
        return (await readFunctionPaths(session, settings)).map((one) => functionFinding(one))
      },
    },
    {
      area: "content",
      about: "functions of triggers that look names up without a schema",
      find: async ({ session }) =>
        triggerFindings(await readTriggerPaths(session, await readDatabaseSettings(session)), database),
    },
    {
      area: "content",
      about: "operators outside of the search path",
      find: async ({ session }) => operatorFindings(await readOperatorPaths(session), database),
    },
  ]
}

function functionFinding({ function: name, extension, names, schemas, usedBy }: FunctionPath): Finding {
  return {
    check: "content.function-paths",
    severity: extension === undefined ? "warning" : "notice",
    subject: name,
    what: `the function has no search_path of its own and looks up ${listed(names)}, for ${listed(usedBy.map(({ object }) => object))}`,
    why:
      extension === undefined
        ? "A restore calls it with an empty search_path: it fails, or finds something else, and rows, indexes or views that need it are missing. A restore by --search-path does without the change."
        : `A restore calls it with an empty search_path, and may fail. It belongs to the extension ${extension}, which a restore makes again, so a change of it is lost: look for a newer version.`,
    fix: `ALTER FUNCTION ${name} SET search_path = ${pathOf(schemas)};`,
  }
}

const pathOf = (schemas: readonly string[]) => [...schemas.map(identifier), "pg_temp"].join(", ")

/** One for all of them: an application may have hundreds. */
function triggerFindings(paths: readonly TriggerPath[], database: string): Finding[] {
  if (paths.length === 0) return []
  const fixes = paths.map(
    ({ function: name, schemas }) => `ALTER FUNCTION ${name} SET search_path = ${pathOf(schemas)};`,
  )
  return [
    {
      check: "content.trigger-paths",
      severity: "notice",
      subject: database,
      what: `${formatCount(paths.length, "function")} of triggers ${paths.length === 1 ? "has" : "have"} no search_path of ${paths.length === 1 ? "its" : "their"} own and ${paths.length === 1 ? "looks" : "look"} names up: ${listed(paths.map(({ function: name, names }) => `${name} (${names.join(", ")})`))}`,
      why: "A restore makes triggers when the rows are in, so it is no harm there. Who puts rows in later with another search_path (plain pg_restore into tables that are there, logical replication) calls them, and they fail, or find something else.",
      fix: fixes.join(" "),
    },
  ]
}

function operatorFindings(paths: readonly OperatorPath[], database: string): Finding[] {
  if (paths.length === 0) return []
  const schemas = [...new Set(paths.flatMap((path) => path.schemas))].toSorted()
  return [
    {
      check: "content.operator-paths",
      severity: "notice",
      subject: database,
      what: `${formatCount(paths.length, "definition")} name operators of ${listed(schemas)} where SQL has no place for a schema: ${listed(paths.map(({ object }) => object))}`,
      why: "By IN, CASE, NULLIF, IS DISTINCT FROM and the like. The backup notes them, and pgstow's restore finds them; plain pg_restore of the same dump fails, or uses PostgreSQL's own operators.",
      fix: "pgstow restore, or pgstow export with the operators' schema in the database's search_path",
    },
  ]
}
