import { expect, test } from "vitest"
import {
  type Check,
  type CheckKind,
  checkFileName,
  checkKinds,
  type Finding,
  findingOf,
  formatCheck,
  holdingDrill,
  holdingFinding,
  newFinding,
  parseCheck,
  proofOf,
  stateOf,
} from "../../task/core/check.ts"

const random = Array.from({ length: 8 }, () => 0.5)
const at = new Date("2026-01-02T03:00:00.000Z")

test("a check's file name tells what it found, when, and which failures it knew of", () => {
  const finding = { id: "iiiiiiii", kind: "deep-verified", at, after: ["7c0de4xy", "verified"] } as const
  expect(checkFileName(finding)).toBe("20260102T030000Z-deep-verified-iiiiiiii-after-7c0de4xy-verified.json")
  expect(checkFileName({ ...finding, after: [] })).toBe(
    "20260102T030000Z-deep-verified-iiiiiiii-after-none.json",
  )
  for (const kind of checkKinds)
    for (const after of [undefined, [], ["7c0de4xy"], ["deepdeep", "verified"]])
      expect(findingOf(checkFileName({ ...finding, kind, after }))).toEqual({ ...finding, kind, after })
})

test("a name without the failures that were known still tells the rest", () => {
  expect(findingOf("20260102T030000Z-deep-verified-iiiiiiii.json")).toEqual({
    id: "iiiiiiii",
    kind: "deep-verified",
    at,
    after: undefined,
  })
})

test("files that are no checks, or of a kind still to come, tell nothing", () => {
  for (const name of [
    "",
    "README",
    "20260102T030000Z-verified.json",
    "20260102T030000Z-rehearsed-iiiiiiii.json",
    "20260132T030000Z-verified-iiiiiiii.json",
    "20260102T030000Z-verified-iiiiiiii.json.bak",
    "20260102T030000Z-verified-iiiiiiii-after.json",
    "20260102T030000Z-verified-iiiiiiii-after-.json",
    "20260102T030000Z-verified-iiiiiiii-after-none-7c0de4xy.json",
    "20260102T030000Z-verified-iiiiiiii-after-short.json",
  ])
    expect(findingOf(name), name).toBeUndefined()
})

const hourMs = 3_600_000

/** Checks of one backup. */
function checks() {
  const findings: Finding[] = []
  let count = 0
  return {
    findings,
    /** A check that begins now; what it gives ends it, by a clock that is so many hours ahead. */
    begin: () => {
      const seen = [...findings]
      return (kind: CheckKind, hoursAhead = 0) => {
        count++
        const digits = Array.from(String(count).padStart(8, "0"), (digit) => Number(digit) / 36)
        const time = new Date(at.getTime() + count * 1000 + hoursAhead * hourMs)
        const finding = newFinding({ kind, at: time }, seen, digits)
        findings.push(finding)
        return finding
      }
    },
    state: () => {
      const state = stateOf(holdingFinding(findings))
      expect(stateOf(holdingFinding(findings.toReversed()))).toBe(state)
      return state
    },
  }
}

/** The state after checks one after the other, by clocks that are so many hours ahead. */
function stateAfter(...kinds: (CheckKind | readonly [CheckKind, hoursAhead: number])[]) {
  const { begin, state } = checks()
  for (const each of kinds) {
    const [kind, hoursAhead] = typeof each === "string" ? ([each, 0] as const) : each
    begin()(kind, hoursAhead)
  }
  return state()
}

/** The same of records whose names do not say what was known. */
function oldStateAfter(...kinds: CheckKind[]) {
  const findings = kinds.map((kind, index) => old(kind, index))
  return stateOf(holdingFinding(findings.toReversed()))
}

function old(kind: CheckKind, seconds: number): Finding {
  return { id: `0000000${seconds}`, kind, at: new Date(at.getTime() + seconds * 1000), after: undefined }
}

test.each([
  ["that say what they knew", stateAfter],
  ["that do not", oldStateAfter],
])("of records %s, the last holds, and a deep failure until a deep check is good", (_, after) => {
  expect(after()).toBe("unverified")
  expect(after("verified")).toBe("verified")
  expect(after("deep-verified")).toBe("verified")
  expect(after("verified", "failed")).toBe("failed")
  expect(after("failed", "verified")).toBe("verified")
  expect(after("failed", "failed", "verified")).toBe("verified")
  expect(after("deep-verified", "failed")).toBe("failed")
  expect(after("deep-failed", "verified")).toBe("failed")
  expect(after("deep-failed", "failed", "verified")).toBe("failed")
  expect(after("failed", "deep-failed", "verified")).toBe("failed")
  expect(after("deep-failed", "verified", "deep-verified")).toBe("verified")
  expect(after("deep-failed", "deep-verified", "failed")).toBe("failed")
})

test("a good drill clears every failure, and one that failed says nothing of the state", () => {
  for (const failure of ["failed", "deep-failed"] as const) {
    expect(stateAfter(failure, "drilled")).toBe("verified")
    expect(stateAfter(failure, "drill-failed")).toBe("failed")
    expect(stateAfter("drilled", failure)).toBe("failed")
  }
  expect(stateAfter("drilled")).toBe("verified")
  expect(stateAfter("drill-failed")).toBe("unverified")
  expect(stateAfter("verified", "drill-failed")).toBe("verified")
})

test("of drills the last failure holds until another drill is good, whatever other checks find", () => {
  const drillAfter = (...kinds: CheckKind[]) => {
    const { begin, findings } = checks()
    for (const kind of kinds) begin()(kind)
    return holdingDrill(findings)?.kind
  }
  expect(drillAfter("verified", "deep-failed")).toBeUndefined()
  expect(drillAfter("drilled", "failed")).toBe("drilled")
  expect(drillAfter("drilled", "drill-failed", "verified", "deep-verified")).toBe("drill-failed")
  expect(drillAfter("drill-failed", "drilled", "verified")).toBe("drilled")
})

test("what proves a backup best is a drill that holds, then a deep check", () => {
  const proofAfter = (...kinds: CheckKind[]) => {
    const { begin, findings } = checks()
    for (const kind of kinds) begin()(kind)
    return proofOf(findings)
  }
  expect(proofAfter("verified")).toBe("verified")
  expect(proofAfter("deep-verified", "verified")).toBe("deep-verified")
  expect(proofAfter("drilled", "deep-verified", "verified")).toBe("drilled")
  expect(proofAfter("drilled", "drill-failed", "verified")).toBe("verified")
})

test("no clock that is wrong hides a failure, or keeps one that is over", () => {
  for (const hours of [-1000, -1, 1, 1000]) {
    expect(stateAfter(["verified", hours], "failed")).toBe("failed")
    expect(stateAfter("verified", ["failed", hours])).toBe("failed")
    expect(stateAfter("failed", ["verified", hours])).toBe("verified")
    expect(stateAfter(["failed", hours], "verified")).toBe("verified")
    expect(stateAfter(["deep-failed", hours], "verified", "deep-verified")).toBe("verified")
  }
})

test("a good check that began before a failure was known does not clear it, whichever ends first", () => {
  for (const hours of [0, 1]) {
    const first = checks()
    const [bad, good] = [first.begin(), first.begin()]
    good("verified", hours)
    bad("failed")
    expect(first.state()).toBe("failed")
    const last = checks()
    const [failing, slow] = [last.begin(), last.begin()]
    failing("failed")
    slow("verified", hours)
    expect(last.state()).toBe("failed")
    last.begin()("verified")
    expect(last.state()).toBe("verified")
  }
})

test("one good check clears what several found at once", () => {
  const { begin, state } = checks()
  for (const end of Array.from({ length: 5 }, begin)) end("failed")
  expect(state()).toBe("failed")
  begin()("verified")
  expect(state()).toBe("verified")
})

test("a name stays short, however many failures there are; what it has no room for holds until the next", () => {
  const { begin, state } = checks()
  const ends = Array.from({ length: 20 }, begin)
  for (const end of ends) end("failed")
  expect(checkFileName(begin()("deep-verified")).length).toBeLessThan(240)
  expect(state()).toBe("failed")
  begin()("verified")
  expect(state()).toBe("verified")
  const row = checks()
  for (let count = 0; count < 100; count++) row.begin()("failed")
  expect(row.begin()("verified").after).toHaveLength(1)
})

test("records of both kinds: only a check that says so clears a failure that says what it knew", () => {
  const known = newFinding({ kind: "verified", at }, [old("failed", 9)], random)
  expect(stateOf(holdingFinding([old("failed", 9), known]))).toBe("verified")
  const unknowing = newFinding({ kind: "verified", at: new Date(at.getTime() + hourMs) }, [], random)
  expect(stateOf(holdingFinding([old("failed", 9), unknowing]))).toBe("failed")
  const failure = newFinding({ kind: "failed", at }, [], random)
  expect(stateOf(holdingFinding([failure, old("verified", 9)]))).toBe("failed")
})

test("what is shown is what holds: of failures the last, otherwise the last good check", () => {
  const { begin, findings } = checks()
  const good = begin()("verified", 2)
  const bad = begin()("failed", 1)
  expect(holdingFinding(findings)).toBe(bad)
  begin()("verified")
  expect(holdingFinding(findings)).toBe(good)
})

test("of two old records of the same second the failure holds", () => {
  const findings = [old("failed", 0), { ...old("verified", 0), id: "other000" }]
  expect(holdingFinding(findings)?.kind).toBe("failed")
  expect(holdingFinding(findings.toReversed())?.kind).toBe("failed")
})

test("a record comes back as it was written, and a damaged one is none", () => {
  const check: Check = {
    kind: "failed",
    at: at.toISOString(),
    by: "pgstow 0.1.0",
    problems: [{ object: "main.dump.zst.age", expected: "3 bytes", found: "no such object" }],
  }
  expect(parseCheck(formatCheck(check))).toEqual(check)
  for (const text of [
    "",
    "{",
    "null",
    "{}",
    formatCheck(check).slice(0, -3),
    JSON.stringify({ ...check, problems: [] }),
  ])
    expect(parseCheck(text), text).toBeUndefined()
  expect(() => formatCheck({ ...check, kind: "verified" })).toThrow("has problems")
})
