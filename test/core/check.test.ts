import { expect, test } from "vitest"
import {
  type Check,
  type CheckKind,
  checkFileName,
  checkKinds,
  findingOf,
  formatCheck,
  latestFinding,
  parseCheck,
  stateOf,
} from "../../task/core/check.ts"

const random = Array.from({ length: 8 }, () => 0.5)
const at = new Date("2026-01-02T03:00:00.000Z")

test("a check's file name tells what it found, and when", () => {
  expect(checkFileName({ kind: "deep-verified", at }, random)).toBe(
    "20260102T030000Z-deep-verified-iiiiiiii.json",
  )
  for (const kind of checkKinds) expect(findingOf(checkFileName({ kind, at }, random))).toEqual({ kind, at })
})

test("files that are no checks, or of a kind still to come, tell nothing", () => {
  for (const name of [
    "",
    "README",
    "20260102T030000Z-verified.json",
    "20260102T030000Z-drilled-iiiiiiii.json",
    "20260132T030000Z-verified-iiiiiiii.json",
    "20260102T030000Z-verified-iiiiiiii.json.bak",
  ])
    expect(findingOf(name), name).toBeUndefined()
})

/** The state after findings a second apart. */
function stateAfter(...kinds: CheckKind[]) {
  const findings = kinds.map((kind, index) => ({ kind, at: new Date(at.getTime() + index * 1000) }))
  return stateOf(latestFinding(findings.toReversed()))
}

test("the latest finding holds", () => {
  expect(stateAfter()).toBe("unverified")
  expect(stateAfter("verified")).toBe("verified")
  expect(stateAfter("deep-verified")).toBe("verified")
  expect(stateAfter("verified", "failed")).toBe("failed")
  expect(stateAfter("failed", "verified")).toBe("verified")
  expect(stateAfter("deep-verified", "failed")).toBe("failed")
})

test("good checksums do not undo what a deep check found wrong", () => {
  expect(stateAfter("deep-failed", "verified")).toBe("failed")
  expect(stateAfter("deep-failed", "failed", "verified")).toBe("failed")
  expect(stateAfter("deep-failed", "verified", "deep-verified")).toBe("verified")
  expect(stateAfter("deep-failed", "deep-verified", "failed")).toBe("failed")
})

test("of two findings in the same second the failure holds", () => {
  const findings = [
    { kind: "failed", at },
    { kind: "verified", at },
  ] as const
  expect(latestFinding(findings)?.kind).toBe("failed")
  expect(latestFinding(findings.toReversed())?.kind).toBe("failed")
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
