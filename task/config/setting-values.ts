/** Values that settings of several kinds are made of, with what is said where they are wrong. */
import * as z from "zod"
import { problemOfSchedule } from "./schedule-expression.ts"

/** The name or ARN of a secret in AWS Secrets Manager. */
export const secret = z
  .string("must be the name or ARN of a secret in Secrets Manager")
  .regex(
    /^(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@!-]+|[\w/+=.@!-]+)$/,
    "must be the name or ARN of a secret in Secrets Manager, never the secret itself",
  )
  .superRefine((text, context) => {
    const endsLikeAnArn = /-[A-Za-z0-9]{6}$/.test(text)
    if (text.startsWith("arn:") === endsLikeAnArn) return
    context.addIssue({
      code: "custom",
      message: endsLikeAnArn
        ? "ends with a hyphen and six characters, which Secrets Manager takes for the end of an ARN: write the secret's complete ARN"
        : "is an ARN without its end, a hyphen and six characters: write the complete one, as `aws secretsmanager describe-secret` shows it",
    })
  })
  .describe("The name or complete ARN of a secret in AWS Secrets Manager.")

export const arnOf = (service: string) =>
  z
    .string()
    .regex(new RegExp(`^arn:aws[a-z-]*:${service}:`), `must be an ARN that begins with arn:aws:${service}:`)

export const secretKey = arnOf("kms")
  .optional()
  .describe("The KMS key that the secret is encrypted with, where it is not Secrets Manager's own.")

export const wholeNumber = (lowest: number, highest: number) => {
  const error = `must be a whole number from ${lowest} to ${highest}`
  return z.int({ error }).min(lowest, { error }).max(highest, { error })
}

export const port = wholeNumber(1, 65_535)
export const host = z.string().regex(/^[A-Za-z0-9.:_-]+$/, "must be a host name or an address")
export const word = z.string().min(1, "must not be empty")

/** The name of an environment variable. */
export const variable = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "must be the name of an environment variable, never its value")

/** A file of this machine; a relative path starts from the folder of the file of settings. */
export const path = z.string().min(1, "must be the path of a file")

/** EventBridge's cron or rate. */
export const scheduleExpression = z.string().superRefine((expression, context) => {
  const message = problemOfSchedule(expression)
  if (message !== undefined) context.addIssue({ code: "custom", message })
})
