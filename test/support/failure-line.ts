import { expect } from "vitest"
import * as z from "zod"
import { exitCodes, type FailureKind } from "../../task/errors.ts"
import type { Finished } from "./pgstow.ts"

const logLine = z.looseObject({
  time: z.iso.datetime(),
  level: z.enum(["debug", "info", "warn", "error"]),
  message: z.string(),
})

export type LogLine = z.infer<typeof logLine>

/** What a run without a terminal has logged. Fails the test where a line of it is no JSON. */
export function logOf(text: string): LogLine[] {
  const lines = text.split("\n")
  expect(lines.pop(), "the log's last line is cut").toBe("")
  return lines.map((line) => logLine.parse(JSON.parse(line)))
}

const errorLine = z.object({
  message: z.string(),
  kind: z.custom<FailureKind>((kind) => typeof kind === "string" && kind in exitCodes),
  hint: z.string(),
  exitCode: z.int(),
})

export type FailureLine = z.infer<typeof errorLine>

/**
 * What a run without a terminal says of its failure. Fails the test unless that is one error, in one line that
 * does not end in a full stop, with a sentence that says what to do, and the exit code that the table has for it.
 */
export function failureOfRun({ exitCode, stderr }: Finished): FailureLine {
  const errors = logOf(stderr).filter(({ level }) => level === "error")
  expect(errors, stderr).toHaveLength(1)
  const failure = errorLine.parse(errors[0])
  expect(failure.message).toMatch(/^[^\n]*[^\n.]$/)
  expect(failure.hint).toMatch(/^[A-Z`][^\n]*\.$/)
  expect(exitCode).toBe(failure.exitCode)
  expect(exitCode).toBe(exitCodes[failure.kind])
  expect(stderr).not.toMatch(/\bat .*[(/]\S+:\d+:\d+/)
  return failure
}
