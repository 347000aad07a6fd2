import * as z from "zod"
import { messageOf } from "../errors.ts"
import { checkRecipient } from "../keys/recipients.ts"
import { path, secret, variable, wholeNumber, word } from "./setting-values.ts"

/** Everything, or failures and warnings only. */
export const level = z.enum(["all", "error"], "must be all or error")

/** Public keys. Each is one that a backup can be sealed for. */
export const recipients = z.array(
  z
    .string()
    .regex(/^age1/, "must be an age recipient, a public key that begins with age1 or age1pq1")
    .superRefine((recipient, context) => {
      if (!recipient.startsWith("age1")) return
      try {
        checkRecipient(recipient, "the recipient")
      } catch (error) {
        context.addIssue({
          code: "custom",
          message: messageOf(error).replace(/^the recipient,? (\S+?),? /, "$1 "),
        })
      }
    }),
)

/** A private key on a machine: in a file, or in a secret. */
export const keyPlace = z.union(
  [z.strictObject({ file: path }), z.strictObject({ secret })],
  'must be { "file": … } or { "secret": … }',
)

const common = {
  level: level
    .default("error")
    .describe("Whether it gets everything, or failures and warnings only. A healthcheck needs all."),
  format: z
    .enum(["slack", "discord", "teams", "healthcheck", "webhook"])
    .optional()
    .describe("What the other side understands. Told by the URL's host; any other gets plain JSON."),
}

const bySecret = z.strictObject({
  secret: secret.describe("The secret that is the webhook's URL."),
  kmsKeyArn: z.string().optional(),
  ...common,
})

export const stackWebhooks = z.array(bySecret).default([])

export const webhooks = z
  .array(
    z.union(
      [
        bySecret,
        z
          .strictObject({ urlEnv: variable, ...common })
          .describe("An environment variable that is the webhook's URL."),
        z.strictObject({ urlFile: path, ...common }).describe("A file that holds the webhook's URL."),
      ],
      'must have one of "urlEnv", "urlFile" and "secret"',
    ),
  )
  .default([])

/**
 * What a machine of one's own has to be told beside what the stack is told, once for all databases or for one. The
 * stack has parts of its own in its place.
 */
const sharedByBoth = {
  storages: z
    .array(
      // Without a flag, which a JSON Schema has no room for.
      word.regex(
        /^([sS]3:\/\/|[fF][iI][lL][eE]:\/\/\/|\.{0,2}\/)/,
        "must be s3://bucket/prefix, file:///folder, or a path that begins with / or ./",
      ),
    )
    .min(1, "must name at least one storage")
    .optional()
    .describe(
      "Where backups are kept: file:///folder or s3://bucket/prefix?region=…; all of them get every backup.",
    ),
  unencrypted: z.boolean().optional().describe("Store backups readable by anyone."),
  signingKey: keyPlace.optional().describe("The key that signs backups (`pgstow keygen --signing`)."),
  signedBy: z
    .array(word)
    .min(1, "must name at least one key")
    .optional()
    .describe("Public halves of signing keys: what none of them has signed is refused."),
  cleanup: z
    .boolean()
    .optional()
    .describe("Whether a good backup is followed by a cleanup, by the retention. Not by default."),
  jobs: z
    .union([z.literal("auto"), wholeNumber(1, 64)], "must be auto, or a whole number from 1 to 64")
    .optional()
    .describe("Streams at once, each with a connection. By default what the machine and the server bear."),
  compressLevel: wholeNumber(1, 19).optional().describe("The level of zstd. 1 by default."),
  exec: word
    .optional()
    .describe('What PostgreSQL\'s programs are run through: "docker exec -i db", "kubectl exec -i db-0 --".'),
  tunnel: word
    .optional()
    .describe('The SSH server through which servers are reached: "me@bastion.example.com:2222".'),
}

export const machineTopShape = sharedByBoth

export const machineShape = {
  ...sharedByBoth,
  recipients: recipients
    .optional()
    .describe("Public keys to seal this database's backups for, in place of those of all."),
  identity: keyPlace.optional().describe("The private key that opens this database's backups."),
  notifications: z
    .strictObject({ webhooks })
    .optional()
    .describe("Whom to tell about this database, in place of those who are told about all."),
}
