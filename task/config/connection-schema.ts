import * as z from "zod"
import { arnOf, host, path, port, secret, secretKey, variable, word } from "./setting-values.ts"

const authority = {
  caSecret: secret
    .optional()
    .describe(
      "A secret with the certificate of the authority that signed the server's, in PEM, where that is not a public one or RDS's.",
    ),
  caKmsKeyArn: arnOf("kms").optional().describe("The KMS key that the secret of caSecret is encrypted with."),
}

const needsCaSecret = (
  { caSecret, caKmsKeyArn }: { readonly caSecret?: unknown; readonly caKmsKeyArn?: unknown },
  context: z.RefinementCtx,
) => {
  if (caKmsKeyArn === undefined || caSecret !== undefined) return
  context.addIssue({ code: "custom", path: ["caKmsKeyArn"], message: "is of no use without caSecret" })
}

const byUrlSecret = z
  .strictObject({ urlSecret: secret, kmsKeyArn: secretKey, ...authority })
  .superRefine(needsCaSecret)
  .describe("A secret that is a URL: postgresql://user:password@host:5432/database")

const byRdsSecret = z
  .strictObject({
    rdsSecret: secret,
    kmsKeyArn: secretKey,
    ...authority,
    host: host.optional(),
    port: port.optional(),
    database: word.optional(),
  })
  .superRefine(needsCaSecret)
  .describe(
    "A secret as RDS writes it: JSON with username and password. What is not given here comes from it too.",
  )

const byIam = z
  .strictObject({
    iamUser: word,
    resourceId: z
      .string()
      .regex(/^(db|cluster|prx)-[A-Za-z0-9]+$/, 'must be like "db-ABCDEF" or "cluster-ABCDEF"')
      .describe("The instance's or cluster's: db-ABC…"),
    host,
    port: port.default(5432),
    database: word,
    ...authority,
  })
  .superRefine(needsCaSecret)
  .describe("RDS IAM authentication: no password anywhere.")

/** Where the stack finds the credentials of a database, and, where they do not say, the database. */
export const stackConnectionSchema = z.union(
  [byUrlSecret, byRdsSecret, byIam],
  'must be { "urlSecret": … }, { "rdsSecret": … } or { "iamUser": …, "resourceId": …, "host": …, "database": … }',
)

const caFile = path
  .optional()
  .describe(
    "A file of the authorities to trust where the server's certificate is verified (sslmode=verify-full).",
  )

/** No text with a password in it, in a URL or in keyword=value. */
const withoutPassword = /^(?![A-Za-z]+:\/\/[^/?#]*:[^/?#]*@)(?!(?:[\s\S]*[?&\s])?(?:ssl)?password\s*=)/

/** The same on any machine: what the stack knows, and what is at hand on a machine alone. */
export const connectionSchema = z.union(
  [
    byUrlSecret,
    byRdsSecret,
    byIam,
    z
      .strictObject({ urlEnv: variable, caFile })
      .describe("An environment variable that is a URL: postgresql://user:password@host:5432/database"),
    z
      .strictObject({ urlFile: path, caFile })
      .describe("A file that holds such a URL and nothing else. Only its owner should be able to read it."),
    z.strictObject({ service: word }).describe("A service of libpq's service file (pg_service.conf)."),
    z
      .strictObject({
        url: word.regex(
          withoutPassword,
          "holds a password, which does not belong into this file: put the URL into an environment variable and name that by urlEnv",
        ),
        caFile,
      })
      .describe("The URL itself, without a password: that comes from PGPASSWORD or a password file."),
  ],
  'must be { "urlEnv": … }, { "urlFile": … }, { "service": … }, { "url": … } without a password, or from AWS { "urlSecret": … }, { "rdsSecret": … } or { "iamUser": …, "resourceId": …, "host": …, "database": … }',
)

export type StackConnection = z.output<typeof stackConnectionSchema>
export type Connection = z.output<typeof connectionSchema>
