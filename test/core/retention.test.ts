import { globSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import * as z from "zod"
import { startOf } from "../../task/core/backup-id.ts"
import {
  type BackupState,
  type DatedBackup,
  planCleanup,
  proofs,
  type RetentionPolicy,
  retentionPolicySchema,
} from "../../task/core/retention.ts"

const folder = join(import.meta.dirname, "retention")
const states = ["verified", "unverified", "failed"] as const satisfies BackupState[]

/** A case: `backups` are written "<id> <state>", or "<id> verified <proof>". */
const caseSchema = z.strictObject({
  about: z.string(),
  now: z.iso.datetime().transform((text) => new Date(text)),
  policy: retentionPolicySchema,
  backups: z.array(
    z.string().transform((line): DatedBackup => {
      const [id = "", state, proof] = line.split(" ")
      const dated = { id, startedAt: startOf(id), state: z.enum(states).parse(state) }
      return proof === undefined ? dated : { ...dated, proof: z.enum(proofs).parse(proof) }
    }),
  ),
})

describe("retention decides as written down", () => {
  for (const file of globSync(join(folder, "*.json")).sort()) {
    const { about, now, policy, backups } = caseSchema.parse(JSON.parse(readFileSync(file, "utf8")))
    test(`${basename(file, ".json")}: ${about}`, async () => {
      const rules = Object.entries(policy).map(([rule, count]) => `${rule} ${count}`)
      const rows = planCleanup(backups, policy, now).map(({ backup, keep, because }) =>
        [
          backup.id,
          (backup.proof ?? backup.state).padEnd(10),
          (keep ? "keep" : "remove").padEnd(6),
          because.join("; "),
        ].join("  "),
      )
      const text = [`${about}\n${rules.join(", ")}, at ${now.toISOString()}\n`, ...rows, ""].join("\n")
      await expect(text).toMatchFileSnapshot(file.replace(/json$/, "txt"))
    })
  }
})

test("partial backups and whole ones push each other out by no rule", () => {
  const on = (day: number, isPartial: boolean, state: BackupState = "verified"): DatedBackup => ({
    id: `2026010${day}T030000Z-aaaaaaa${day}`,
    startedAt: new Date(`2026-01-0${day}T03:00:00Z`),
    state,
    isPartial,
  })
  const backups = [on(1, false), on(2, false, "unverified"), on(3, true), on(4, true), on(5, true, "failed")]
  const kept = (policy: RetentionPolicy) =>
    planCleanup(backups, policy, new Date("2026-01-09T00:00:00Z")).map(({ backup, keep }) => [
      backup.startedAt.getUTCDate(),
      keep,
    ])
  expect(kept({ keepLast: 1 })).toEqual([
    [5, true],
    [4, true],
    [3, false],
    [2, true],
    [1, true],
  ])
})

test("a policy that keeps nothing, or a wrong one, is refused", () => {
  const wrong: unknown[] = [
    {},
    { keepLast: undefined },
    { keepLast: 0 },
    { keepDays: -1 },
    { keepDaily: 1.5 },
    { keepLast: 1, keepMinutely: 1 },
  ]
  for (const policy of wrong) {
    expect(retentionPolicySchema.safeParse(policy).success, JSON.stringify(policy)).toBe(false)
    // planCleanup must refuse what the types forbid, too: it decides what is deleted.
    expect(() => planCleanup([], policy as RetentionPolicy, new Date())).toThrow(z.ZodError)
  }
  expect(() => retentionPolicySchema.parse({})).toThrow(
    "must say what to keep: keepLast, keepDays, keepHourly",
  )
})

const now = new Date("2026-06-15T12:00:00Z")
const hourMs = 60 * 60 * 1000

/** Up to 60 backups over some three years, many on the same days, some from the future. */
const history = fc
  .array(
    fc.record({
      hoursAgo: fc.integer({ min: -48, max: 26_000 }),
      state: fc.constantFrom(...states),
      proof: fc.constantFrom(...proofs),
    }),
    { maxLength: 60 },
  )
  .map((backups) =>
    backups.map(({ hoursAgo, state, proof }, index): DatedBackup => {
      return { id: `backup-${index}`, startedAt: new Date(now.getTime() - hoursAgo * hourMs), state, proof }
    }),
  )
const rule = fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined })
const ruleNames = [
  "keepLast",
  "keepDays",
  "keepHourly",
  "keepDaily",
  "keepWeekly",
  "keepMonthly",
  "keepYearly",
] as const
const policies = fc
  .record({
    keepLast: rule,
    keepDays: rule,
    keepHourly: rule,
    keepDaily: rule,
    keepWeekly: rule,
    keepMonthly: rule,
    keepYearly: rule,
  })
  .filter((policy) => ruleNames.some((name) => policy[name] !== undefined))

const keptIds = (backups: readonly DatedBackup[], policy: RetentionPolicy) =>
  new Set(
    planCleanup(backups, policy, now)
      .filter(({ keep }) => keep)
      .map(({ backup }) => backup.id),
  )
const verifiedOnly = (backups: readonly DatedBackup[]) => backups.filter(({ state }) => state === "verified")

describe("whatever the policy and the history", () => {
  const holds = (promise: (backups: DatedBackup[], policy: RetentionPolicy) => void) =>
    fc.assert(fc.property(history, policies, promise), { numRuns: 500 })

  test("every backup gets one decision with a reason, newest first", () => {
    holds((backups, policy) => {
      const plan = planCleanup(backups, policy, now)
      expect(new Set(plan.map(({ backup }) => backup))).toEqual(new Set(backups))
      expect(plan.length).toBe(backups.length)
      expect(plan.every(({ because }) => because.length > 0)).toBe(true)
      const times = plan.map(({ backup }) => backup.startedAt.getTime())
      expect(times).toEqual(times.toSorted((a, b) => b - a))
    })
  })

  test("the newest verified backup is kept", () => {
    holds((backups, policy) => {
      const newest = Math.max(...verifiedOnly(backups).map(({ startedAt }) => startedAt.getTime()))
      const kept = keptIds(backups, policy)
      const survivors = verifiedOnly(backups).filter(({ id }) => kept.has(id))
      if (newest !== -Infinity)
        expect(survivors.some(({ startedAt }) => startedAt.getTime() === newest)).toBe(true)
    })
  })

  test("nothing is removed while nothing is verified", () => {
    holds((backups, policy) => {
      const unproven = backups.filter(({ state }) => state !== "verified")
      expect(keptIds(unproven, policy).size).toBe(unproven.length)
    })
  })

  test("what is pinned is kept, and changes nothing for what is not", () => {
    holds((backups, policy) => {
      const pinned = backups.map((backup, index) => ({ ...backup, isPinned: index % 3 === 0 }))
      const kept = keptIds(backups, policy)
      const keptThen = keptIds(pinned, policy)
      for (const { id, isPinned } of pinned) expect(keptThen.has(id)).toBe(isPinned || kept.has(id))
    })
  })

  test("what is not verified changes nothing for what is", () => {
    holds((backups, policy) => {
      const alone = keptIds(verifiedOnly(backups), policy)
      const among = keptIds(backups, policy)
      expect(verifiedOnly(backups).filter(({ id }) => among.has(id)).length).toBe(alone.size)
      for (const id of alone) expect(among).toContain(id)
    })
  })

  test("raising a number, or adding a rule, removes nothing more", () => {
    fc.assert(
      fc.property(
        history,
        policies,
        fc.constantFrom(...ruleNames),
        fc.nat(40),
        (backups, policy, name, more) => {
          const generous = { ...policy, [name]: (policy[name] ?? 0) + more + 1 }
          const kept = keptIds(backups, generous)
          for (const id of keptIds(backups, policy)) expect(kept).toContain(id)
        },
      ),
      { numRuns: 500 },
    )
  })

  test("no period goes without its best proven backup where it keeps one", () => {
    holds((backups, policy) => {
      const past = verifiedOnly(backups).filter(({ startedAt }) => startedAt <= now)
      const kept = keptIds(backups, { ...policy, keepMonthly: 1_000 })
      const rank = ({ proof = "verified" }: DatedBackup) => proofs.indexOf(proof)
      const months = Map.groupBy(past, ({ startedAt }) => startedAt.toISOString().slice(0, 7))
      for (const month of months.values()) {
        const best = Math.min(...month.map(rank))
        expect(month.some((one) => rank(one) === best && kept.has(one.id))).toBe(true)
      }
    })
  })

  test("planning again after the removals removes nothing", () => {
    holds((backups, policy) => {
      const kept = keptIds(backups, policy)
      const left = backups.filter(({ id }) => kept.has(id))
      expect(keptIds(left, policy)).toEqual(kept)
    })
  })

  test("the order in which the backups are given changes nothing", () => {
    holds((backups, policy) => {
      expect(planCleanup(backups.toReversed(), policy, now)).toEqual(planCleanup(backups, policy, now))
    })
  })
})
