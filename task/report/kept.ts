import type { ReportedBackup } from "./report-data.ts"

/** How much one rule of the retention policy keeps; a backup may be kept by several. */
export type KeptByRule = {
  readonly rule: string
  readonly backups: number
  readonly oldest: string | null
  readonly bytes: number
}

export type Kept = {
  readonly rules: readonly KeptByRule[]
  readonly kept: number
  readonly keptBytes: number
  /** What the next cleanup removes. */
  readonly goes: number
  readonly goesBytes: number
}

/** What retention keeps of all copies. */
export function keptOf(backups: readonly ReportedBackup[]): Kept {
  const rules = new Map<string, KeptByRule>()
  let [kept, keptBytes, goes, goesBytes] = [0, 0, 0, 0]
  for (const { startedAt, storedBytes, copies } of backups) {
    const bytes = storedBytes ?? 0
    const keeping = copies.filter((copy) => copy.kept?.keep !== false)
    if (keeping.length > 0) kept += 1
    else goes += 1
    keptBytes += bytes * keeping.length
    goesBytes += bytes * (copies.length - keeping.length)
    const copiesOf = new Map<string, number>()
    for (const copy of keeping)
      for (const rule of new Set(copy.kept?.because.map(ruleOf) ?? []))
        copiesOf.set(rule, (copiesOf.get(rule) ?? 0) + 1)
    for (const [rule, count] of copiesOf) {
      const before = rules.get(rule) ?? { rule, backups: 0, oldest: null, bytes: 0 }
      rules.set(rule, {
        rule,
        backups: before.backups + 1,
        // They come newest first.
        oldest: startedAt ?? before.oldest,
        bytes: before.bytes + bytes * count,
      })
    }
  }
  return { rules: [...rules.values()], kept, keptBytes, goes, goesBytes }
}

/** "weekly 2026-W01" is of the rule "weekly"; others stand for themselves. */
function ruleOf(reason: string): string {
  return reason.replace(/^(hourly|daily|weekly|monthly|yearly) .*$/, "$1")
}
