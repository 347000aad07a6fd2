import { messageOf, PgstowError } from "../errors.ts"

/** Fetches a secret's text by its ARN or name. */
export type ReadSecret = (id: string) => Promise<string>

/** Reads secrets from AWS Secrets Manager, with the SDK's usual credentials; the region is the ARN's. */
export const readAwsSecret: ReadSecret = async (id) => {
  const { GetSecretValueCommand, SecretsManagerClient } = await import("@aws-sdk/client-secrets-manager")
  const region = /^arn:[^:]*:secretsmanager:([^:]+):/.exec(id)?.[1]
  const client = new SecretsManagerClient(region === undefined ? {} : { region })
  try {
    const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: id }))
    if (SecretString === undefined) throw new Error("it holds bytes, not text")
    return SecretString
  } catch (cause) {
    throw new PgstowError("key", `the secret ${id} can't be read: ${messageOf(cause)}`, {
      hint: "Check the ARN, the region, and that these credentials may call secretsmanager:GetSecretValue on it (and kms:Decrypt on its key).",
    })
  } finally {
    client.destroy()
  }
}
