import { readFileSync } from "node:fs"
import { join } from "node:path"
import { type Account, accountId, openAccount, region } from "./account.ts"
import { synthesize } from "./synthesize.ts"

/** What an earlier stack left, and a new one takes over. */
const name = "pgstow-backupstoragebucket-1a2b3c"
const kmsKeyArn = `arn:aws:kms:${region}:${accountId}:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f`
const identity = `arn:aws:secretsmanager:${region}:${accountId}:secret:backup-key-AbCdEf`
const bucketArn = `arn:aws:s3:::${name}`

/** AWS's own policy of a new key: who may use it, IAM says. */
export const keyPolicy = {
  Version: "2012-10-17",
  Statement: [
    {
      Effect: "Allow",
      Principal: { AWS: `arn:aws:iam::${accountId}:root` },
      Action: "kms:*",
      Resource: "*",
    },
  ],
}

/** The policy that the README says an existing bucket needs. */
function bucketPolicy(): object {
  const readme = readFileSync(join(import.meta.dirname, "../../infra/README.md"), "utf8")
  const [, written] = /```json\n(\{\n {2}"Version": "2012-10-17".*?)```/s.exec(readme) ?? []
  if (written === undefined) throw new Error("the README shows no policy for an existing bucket")
  // The README's own JSON: an object.
  return JSON.parse(written.replaceAll("NAME", name)) as object
}

/** The account with a stack that took over a bucket, its key and the secret with the private key. */
export function openAdopted(settings: object, policies: { bucket?: object; key?: object } = {}): Account {
  const { bucket = bucketPolicy(), key = keyPolicy } = policies
  const theirs = {
    id: accountId,
    policyOf: (arn: string) => (arn === bucketArn ? bucket : arn === kmsKeyArn ? key : undefined),
  }
  const synthesized = synthesize({
    ...settings,
    bucket: { existing: { name, kmsKeyArn } },
    identity: { secret: identity },
  })
  return openAccount(synthesized, [theirs], {
    StorageBucket: name,
    "StorageBucket.Arn": bucketArn,
    "StorageKey.Arn": kmsKeyArn,
    IdentitySecret: identity,
  })
}
