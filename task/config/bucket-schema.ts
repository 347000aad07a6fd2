import * as z from "zod"
import { arnOf, wholeNumber } from "./setting-values.ts"

/** What a bucket is made with, and an existing one keeps as it is. */
const madeWith = ["coldAfterDays", "undeleteDays", "objectLock", "copyTo"] as const

const bucketOptionsShape = {
  /**
   * A bucket that is there already, such as one that an earlier stack left behind, and the KMS key that encrypts it.
   * Versioned, and with its events sent to EventBridge. Nothing about it is changed. @default a new one
   */
  existing: z
    .strictObject({
      name: z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "must be the name of a bucket"),
      kmsKeyArn: arnOf("kms"),
    })
    .optional(),
  /** Days after which objects move to Glacier Instant Retrieval: a sixth of the price, read at once. @default never */
  coldAfterDays: wholeNumber(1, 3650).optional(),
  /** Days that what cleanup removed can still be brought back. @default 14 */
  undeleteDays: wholeNumber(1, 3650).optional(),
  /**
   * Keeps every object from being removed for some days: by anyone but a privileged user (GOVERNANCE), or by
   * anyone at all, the account's owner included (COMPLIANCE). @default no lock
   */
  objectLock: z
    .strictObject({ mode: z.enum(["GOVERNANCE", "COMPLIANCE"]), days: wholeNumber(1, 36_500) })
    .optional(),
  /**
   * A bucket in another region or account to which S3 copies every object: versioned, with Object Lock enabled, and
   * open to the copying role, as infra/copy-bucket.json makes it. @default none
   */
  copyTo: z
    .strictObject({
      bucketArn: arnOf("s3"),
      /** The key that the copies are encrypted with, in the second bucket's region. S3 copies nothing without one. */
      kmsKeyArn: arnOf("kms"),
      /** The account that owns the second bucket, where it is another. */
      account: z
        .string()
        .regex(/^\d{12}$/, "must be twelve digits")
        .optional(),
    })
    .optional(),
}

export const bucketOptionsSchema = z.strictObject(bucketOptionsShape).superRefine((options, context) => {
  if (options.existing === undefined) return
  for (const name of madeWith)
    if (options[name] !== undefined)
      context.addIssue({
        code: "custom",
        path: [name],
        message:
          name === "copyTo"
            ? 'can\'t be set up for an existing bucket, about which nothing is changed: infra/README.md says under "A second bucket" how to do it yourself'
            : "is of no use beside bucket.existing: an existing bucket keeps its own settings",
      })
})
