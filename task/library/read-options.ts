import * as z from "zod"
import { PgstowError } from "../errors.ts"

/** A text that is not empty. */
export const text = z.string().min(1, "must not be empty")

export function wholeNumber(
  lowest: number,
  highest: number,
  error = `must be a whole number from ${lowest} to ${highest}`,
) {
  return z.int({ error }).min(lowest, { error }).max(highest, { error })
}

const mustBeJobs = 'must be "auto", or a whole number from 1 to 64'
export const jobs = z.union([z.literal("auto"), wholeNumber(1, 64, mustBeJobs)], mustBeJobs).default("auto")

/**
 * Checks the options of a function. Throws a PgstowError of kind "usage" that names the first wrong one, and never its
 * value, which may be a secret.
 */
export function readOptions<Read>(name: string, schema: z.ZodType<Read>, given: unknown): Read {
  const { data, error } = schema.safeParse(given)
  if (data !== undefined) return data
  const [issue] = error?.issues ?? []
  const [option] = issue?.path ?? []
  const message =
    issue?.code === "unrecognized_keys"
      ? `${name} knows no option ${issue.keys.join(", ")}`
      : `${option === undefined ? `what ${name} is given` : `the option ${String(option)} of ${name}`} ${inWords(issue)}`
  throw new PgstowError("usage", message, { hint: "See the declarations of pgstow, or its documentation." })
}

function inWords(issue: z.core.$ZodIssue | undefined): string {
  if (issue?.code !== "invalid_type") return issue?.message ?? "is wrong"
  return issue.message.endsWith("received undefined") ? "is missing" : `must be ${kindOf(issue.expected)}`
}

function kindOf(expected: string): string {
  return /^[aeiou]/.test(expected) ? `an ${expected}` : `a ${expected}`
}
