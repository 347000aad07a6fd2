import type { RestorePlan } from "../archive/plan-restore.ts"
import { formatName } from "../console/format.ts"
import { searchPathIn } from "../postgres/function-paths.ts"
import { shellWord } from "../processes/shell-word.ts"
import type { RestoreJob } from "./job.ts"

type Lookup = NonNullable<RestoreJob["manifest"]["functionPaths"]>[number]

/**
 * A sentence for functions without a search_path of their own that this restore calls, as far as the backup knows
 * them; none where the restore gives them one.
 */
export function noticesOfLookups(
  { manifest: { functionPaths = [], source }, options }: Pick<RestoreJob, "manifest" | "options">,
  plan: RestorePlan,
  exists: boolean,
): string[] {
  const computed = new Set(
    plan.entries
      .filter(({ kind }) => kind === "TABLE" || kind === "MATERIALIZED VIEW DATA")
      .map(({ oid }) => oid),
  )
  const lookups = functionPaths
    .map((one) => ({ ...one, usedBy: one.usedBy.filter(({ relation }) => computed.has(relation)) }))
    .filter(({ usedBy }) => usedBy.length > 0)
  const own = lookups.filter(({ extension }) => extension === undefined)
  const ofExtensions = lookups.filter(({ extension }) => extension !== undefined)
  const path = [
    ...new Set([...searchPathIn(source.settings), ...own.flatMap(({ schemas }) => schemas), "public"]),
  ]
  const option = `--search-path ${shellWord(path.join(","))}`
  const way = exists
    ? `only in a restore into a new database with ${option}`
    : `in a restore only by ${option}`
  return [
    ...(own.length > 0 && options.searchPath === undefined
      ? [`functions look names up without a schema, and find them ${way}: ${listed(own)}`]
      : []),
    ...(ofExtensions.length > 0
      ? [
          `functions of extensions look names up without a schema, and may not find them in a restore, for which --search-path does nothing: ${listed(ofExtensions)}`,
        ]
      : []),
  ]
}

const mostFunctions = 10
const mostUses = 5

function listed(lookups: readonly Lookup[]): string {
  return first(
    lookups.map(({ function: called, extension, names, usedBy }) => {
      const what = extension === undefined ? called : `${called} of ${extension}`
      const uses = first(
        usedBy.map(({ object }) => formatName(object)),
        mostUses,
        ", ",
      )
      return `${formatName(what)} looks up ${names.map(formatName).join(", ")}, for ${uses}`
    }),
    mostFunctions,
    "; ",
  )
}

function first(texts: readonly string[], most: number, separator: string): string {
  const more = texts.length - most
  return [...texts.slice(0, most), ...(more > 0 ? [`and ${more} more`] : [])].join(separator)
}
