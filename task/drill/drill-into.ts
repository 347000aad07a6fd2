import { randomBytes } from "node:crypto"
import * as z from "zod"
import type { Context } from "../context.ts"
import type { DrillRecord, Problem } from "../core/check.ts"
import type { Expectation } from "../core/expectation.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { findClients, newestClients } from "../postgres/clients.ts"
import type { Connection } from "../postgres/connection.ts"
import { takingSystemRoots } from "../postgres/system-roots.ts"
import { openTarget, type Target } from "../postgres/target.ts"
import type { RestoreChosenOptions } from "../restore/options.ts"
import { type Copy, rehearseChosen, restoreChosen } from "../restore/restore.ts"
import type { RestoreResult } from "../restore/result.ts"
import type { Comparison } from "./compare.ts"
import { compareDatabase } from "./compare-database.ts"
import { dropAll } from "./drop-all.ts"
import { makeRoles } from "./make-roles.ts"
import { archiveOf, leaveOut, reading } from "./restored-archive.ts"

export type DrillIntoOptions = {
  /** The server. */
  readonly connection: Connection
  /** Whether nobody else uses the server: then roles are made there, and nothing need be dropped. */
  readonly isThrowAway: boolean
  readonly clientFolders: readonly string[]
  readonly identities: readonly string[]
  readonly signedBy: readonly string[]
  readonly skipExtensions: readonly string[]
  readonly searchPath: readonly string[] | undefined
  readonly expectations: readonly Expectation[]
  readonly jobs: number | "auto"
}

/** What a drill found; without a record where there was nothing to compare. */
export type DrillFindings = {
  readonly problems: readonly Problem[]
  readonly drill?: DrillRecord | undefined
}

/**
 * Restores a copy of a backup into a new database of the server, compares, and drops it. Rejects where nothing was found
 * out of the backup.
 */
export async function drillInto(
  copy: Copy,
  options: DrillIntoOptions,
  context: Context,
): Promise<DrillFindings> {
  const { env, signal } = context
  const name = `pgstow_drill_${randomBytes(4).toString("hex")}`
  const found = await findClients(context, options.clientFolders)
  const clients = takingSystemRoots(found, options.connection, env)
  const archive = await archiveOf(copy, options, context)
  const target = await openTarget(newestClients(clients), options.connection, name, { env, signal })
  try {
    if (options.isThrowAway) await makeRoles(copy, await target.outside(), reading(options, context))
    const restoring = { ...restoreOptions(options), into: name }
    const foreseen = archive ? (await rehearseChosen(copy, restoring, context)).foreseen : []
    if (foreseen.length > 0)
      return {
        problems: foreseen.map(({ what, why }) => ({
          object: what,
          expected: "that it can be restored",
          found: why,
        })),
      }
    const result = await restoreChosen(copy, restoring, context)
    const problems = problemsOf(result)
    if (problems.length > 0) return { problems }
    const begunAt = performance.now()
    const compared = { archive, clients, target, expectations: options.expectations, jobs: options.jobs }
    const comparison = await compareDatabase(copy, name, compared, context)
    const compareSeconds = (performance.now() - begunAt) / 1000
    return {
      problems: comparison.problems,
      drill: recordOf(result, comparison, await serverVersion(target), compareSeconds),
    }
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof PgstowError) || error.kind !== "damaged") throw error
    return {
      problems: [{ object: "the backup", expected: "what its manifest says", found: messageOf(error) }],
    }
  } finally {
    context.progress.clear()
    await target.close()
    if (!options.isThrowAway) await dropAll(name, options.connection, clients, context)
  }
}

/** As of a `restore` without further flags. */
function restoreOptions(options: DrillIntoOptions): Omit<RestoreChosenOptions, "into"> {
  const { connection, clientFolders, identities, signedBy, searchPath, jobs } = options
  return {
    connection,
    clientFolders,
    identities,
    signedBy,
    jobs,
    createRoles: false,
    selection: undefined,
    owners: "keep",
    grants: "keep",
    tablespaces: "keep",
    leaveOut: leaveOut(options),
    searchPath,
    clean: false,
    locale: "original",
    analyze: true,
    // What is foreseen, the rehearsal has found.
    anyway: true,
    yes: true,
    ask: undefined,
  }
}

/** Throws where a restore failed by something else than the backup. */
function problemsOf({ id, state, errors, failure }: RestoreResult): Problem[] {
  if (state === "restored") return []
  if (failure && failure.kind !== "damaged")
    throw new PgstowError(failure.kind, failure.message, { hint: failure.hint ?? undefined })
  const refused = errors.flatMap(({ title, count, examples }) => [
    ...examples.map(({ entry, message }) => ({
      object: entry ?? id,
      expected: "that it can be restored",
      found: message,
    })),
    ...(count > examples.length
      ? [
          {
            object: id,
            expected: "that all can be restored",
            found: `${count - examples.length} more: ${title}`,
          },
        ]
      : []),
  ])
  return failure
    ? [...refused, { object: "the backup", expected: "what its manifest says", found: failure.message }]
    : refused
}

function recordOf(
  { seconds, phases, warnings }: RestoreResult,
  { rows, objects, notes }: Comparison,
  server: string,
  compareSeconds: number,
): DrillRecord {
  return {
    server,
    restoreSeconds: seconds,
    ...(phases
      ? {
          rowsSeconds: rounded(phases.rowsSeconds),
          indexesSeconds: rounded(phases.indexesSeconds),
          restSeconds: rounded(phases.restSeconds),
        }
      : {}),
    compareSeconds: rounded(compareSeconds),
    rows,
    objects,
    notes: [...warnings, ...notes],
  }
}

function rounded(seconds: number): number {
  return Math.round(1000 * seconds) / 1000
}

async function serverVersion(target: Target): Promise<string> {
  const session = await target.outside()
  const [{ version }] = versionRow.parse(
    await session.query(
      "SELECT pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1) AS version",
    ),
  )
  return version
}

const versionRow = z.tuple([z.object({ version: z.string() })])
