import { relateEntries } from "../archive/archive.ts"
import type { RestorePlan } from "../archive/plan-restore.ts"
import { type JoinedToc, tablesAmong } from "../archive/table-data.ts"
import type { TocEntry } from "../archive/toc.ts"
import type { Estimate } from "../console/progress.ts"
import type { ManifestObject } from "../core/manifest.ts"
import type { RestoreStep } from "../postgres/restore-output.ts"

/** What takes time: rows by their bytes, indexes and keys by theirs, all other definitions by their number. */
type Effort = "rows" | "keys" | "definitions" | "statistics"

/** One piece of a restore. */
export type PaceItem = {
  readonly key: string
  readonly effort: Effort
  /** Its amount, in what the effort counts. */
  readonly units: number
  /** Whether others may be done at the same time. */
  readonly isBesideOthers: boolean
}

/** How far a restore is, and how long the rest takes: by what it has measured of itself so far. */
export type Pace = {
  readonly begin: (key: string) => void
  /** Some of it is done: so many units more. */
  readonly advance: (key: string, units: number) => void
  readonly end: (key: string) => void
  /** The how-manieth of its effort it is that has begun, and how many there are: "3 of 12". */
  readonly position: (key: string) => string
  readonly estimate: () => Estimate
  /** What the time went by so far in. */
  readonly phases: () => Phases
}

/** How long rows came, and how long nothing but indexes and keys were made. */
export type Phases = { readonly rowsSeconds: number; readonly indexesSeconds: number }

/** What is believed before anything was measured, in seconds for a unit, and how many units that belief counts for. */
const beliefs: Readonly<Record<Effort, { readonly seconds: number; readonly weight: number }>> = {
  rows: { seconds: 1 / 40e6, weight: 4e6 },
  keys: { seconds: 1 / 40e6, weight: 4e6 },
  definitions: { seconds: 0.003, weight: 20 },
  statistics: { seconds: 0.05, weight: 20 },
}

type State = PaceItem & {
  done: number
  begunAt?: number | undefined
  seconds: number
  isOver: boolean
  number?: number
}

/** Begins to measure. `jobs` is how many pieces are done at once; `now` gives seconds. */
export function openPace(items: readonly PaceItem[], jobs: number, now: () => number): Pace {
  const states = new Map(
    items.map((item): [string, State] => [item.key, { ...item, done: 0, seconds: 0, isOver: false }]),
  )
  const startedAt = now()
  let best = 0
  const begun = new Map<Effort, number>()
  const active = { rows: new Set<State>(), keys: new Set<State>() }
  const phases = { rowsSeconds: 0, indexesSeconds: 0 }
  let countedUntil = startedAt
  /** Counts the time since this was called last; to be called before what is under way changes. */
  const countTime = () => {
    const at = now()
    if (active.rows.size > 0) phases.rowsSeconds += at - countedUntil
    else if (active.keys.size > 0) phases.indexesSeconds += at - countedUntil
    countedUntil = at
  }
  const activeOf = ({ effort }: State) =>
    effort === "rows" || effort === "keys" ? active[effort] : undefined
  const begin = (state: State) => {
    if (state.begunAt === undefined) {
      countTime()
      activeOf(state)?.add(state)
    }
    state.begunAt ??= now()
    if (state.number !== undefined) return
    state.number = (begun.get(state.effort) ?? 0) + 1
    begun.set(state.effort, state.number)
  }
  const spent = (state: State) => state.seconds + (state.begunAt === undefined ? 0 : now() - state.begunAt)

  const secondsPerUnit = (effort: Effort): number => {
    const own = [...states.values()].filter((state) => state.effort === effort)
    // What is not over says nothing yet, but for rows, of which each part is known.
    const measured = own.filter((state) => state.isOver || effort === "rows")
    const units = measured.reduce((sum, { done }) => sum + done, 0)
    const seconds = measured.reduce((sum, state) => sum + spent(state), 0)
    const { weight, seconds: believed } = beliefs[effort]
    // A slow machine makes keys as slow as rows.
    const before = effort === "keys" ? Math.max(believed, secondsPerUnit("rows")) : believed
    return (before * weight + seconds) / (weight + units)
  }

  const secondsLeftOf = (state: State, perUnit: number): number => {
    if (state.isOver) return 0
    if (state.effort === "rows") return Math.max(0, state.units - state.done) * perUnit
    const elapsed = spent(state)
    // What takes longer than expected is expected to take some more.
    return Math.max(state.units * perUnit - elapsed, elapsed / 10)
  }

  return {
    begin(key) {
      const state = states.get(key)
      if (!state) return
      state.isOver = false
      begin(state)
    },
    advance(key, units) {
      const state = states.get(key)
      if (!state) return
      begin(state)
      // What is read twice counts once.
      state.done = Math.min(state.units, state.done + units)
    },
    end(key) {
      const state = states.get(key)
      if (!state) return
      countTime()
      activeOf(state)?.delete(state)
      state.seconds = spent(state)
      state.begunAt = undefined
      state.done = state.units
      state.isOver = true
    },
    position(key) {
      const state = states.get(key)
      const all = items.filter(({ effort }) => effort === state?.effort)
      return state?.number === undefined ? "" : `${state.number} of ${all.length}, `
    },
    phases() {
      countTime()
      return { ...phases }
    },
    estimate() {
      const rates = new Map(
        (["rows", "keys", "definitions", "statistics"] as const).map((effort) => [
          effort,
          secondsPerUnit(effort),
        ]),
      )
      let beside = 0
      let longest = 0
      let alone = 0
      for (const state of states.values()) {
        const left = secondsLeftOf(state, rates.get(state.effort) ?? 0)
        if (!state.isBesideOthers) alone += left
        else {
          beside += left
          longest = Math.max(longest, left)
        }
      }
      const secondsLeft = Math.max(beside / jobs, longest) + alone
      const elapsed = now() - startedAt
      // Nobody wants to see it go back.
      best = Math.max(best, elapsed > 0 ? elapsed / (elapsed + secondsLeft) : 0)
      return { share: Math.min(best, 0.99), secondsLeft }
    },
  }
}

/** The key of a stored object, of an entry, and of the statistics at the end. */
export const paceKeys = {
  object: (name: string) => `object ${name}`,
  entry: ({ dumpId }: TocEntry) => `entry ${dumpId}`,
  statistics: "statistics",
}

const keyKinds = new Set(["INDEX", "CONSTRAINT", "FK CONSTRAINT", "MATERIALIZED VIEW DATA"])

/** All that a job takes time for. */
export function paceItems(
  {
    main,
    joined,
    options,
  }: {
    readonly main: ManifestObject
    readonly joined: JoinedToc
    readonly options: { readonly analyze: boolean }
  },
  plan: RestorePlan,
  isNew: boolean,
): PaceItem[] {
  const segmented = tablesAmong(plan.entries, joined)
  const objects = [main, ...segmented.flatMap(({ segments }) => segments)]
  const bytesOf = new Map(
    segmented.map(({ table, segments }) => [table, segments.reduce((sum, one) => sum + one.rawBytes, 0)]),
  )
  const tables = plan.entries.filter(({ kind }) => kind === "TABLE")
  const inMain = Math.max(1, tables.length - segmented.length)
  const { hosts } = relateEntries(plan.entries)
  const sizeOf = (entry: TocEntry): number => {
    // An index is often about a third of its table; a key to another table is checked by reading both.
    const table = hosts(entry).find((host) => host.kind === "TABLE")
    return ((table && bytesOf.get(table)) ?? main.rawBytes / inMain) / 3
  }
  const definitions = plan.entries
    .filter(({ kind, hasData }) => !hasData && kind !== "TABLE DATA")
    .map((entry): PaceItem => {
      const isKey = keyKinds.has(entry.kind)
      return {
        key: paceKeys.entry(entry),
        effort: isKey ? "keys" : "definitions",
        units: isKey ? sizeOf(entry) : 1,
        isBesideOthers: isNew && isKey && entry.kind !== "MATERIALIZED VIEW DATA",
      }
    })
  return [
    ...objects.map(
      ({ name, rawBytes }): PaceItem => ({
        key: paceKeys.object(name),
        effort: "rows",
        units: rawBytes,
        isBesideOthers: isNew,
      }),
    ),
    ...definitions,
    ...(options.analyze
      ? [
          {
            key: paceKeys.statistics,
            effort: "statistics" as const,
            units: tables.length,
            isBesideOthers: false,
          },
        ]
      : []),
  ]
}

/**
 * Follows pg_restore through these entries, one after the other: what comes next says that the last is over. `step`
 * gives what to show of a step.
 */
export function followSteps(
  pace: Pace,
  entries: readonly TocEntry[],
): { readonly step: (step: Pick<RestoreStep, "kind" | "object">) => string; readonly end: () => void } {
  const byStep = new Map(
    entries.map((entry) => [
      `${entry.kind} ${entry.schema === undefined ? "" : `${entry.schema}.`}${entry.name}`,
      paceKeys.entry(entry),
    ]),
  )
  let current: string | undefined
  const over = () => {
    if (current !== undefined) pace.end(current)
    current = undefined
  }
  return {
    step({ kind, object }) {
      over()
      current = byStep.get(`${kind} ${object}`)
      if (current !== undefined) pace.begin(current)
      const position = current === undefined ? "" : pace.position(current)
      return `${position}${kind.toLowerCase()} ${object}`
    },
    end() {
      over()
      for (const key of byStep.values()) pace.end(key)
    },
  }
}
