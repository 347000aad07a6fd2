import { Stack } from "aws-cdk-lib"
import { type IGrantable, PolicyStatement } from "aws-cdk-lib/aws-iam"
import type { ISecret } from "aws-cdk-lib/aws-secretsmanager"

/**
 * Lets who may read a secret open it too, where it is encrypted with a known key. The library leaves that to the
 * key's own policy, which may belong to another account.
 */
export function allowSecretKey(grantee: IGrantable, secret: ISecret): void {
  if (secret.encryptionKey === undefined) return
  const { region, urlSuffix } = Stack.of(secret)
  grantee.grantPrincipal.addToPrincipalPolicy(
    new PolicyStatement({
      actions: ["kms:Decrypt"],
      resources: [secret.encryptionKey.keyArn],
      conditions: { StringEquals: { "kms:ViaService": `secretsmanager.${region}.${urlSuffix}` } },
    }),
  )
}

/** Lets `grantee` read the private key, and no more of its secret. */
export function allowIdentity(grantee: IGrantable, identity: ISecret): void {
  grantee.grantPrincipal.addToPrincipalPolicy(
    new PolicyStatement({
      actions: ["secretsmanager:GetSecretValue"],
      // A name is not all of an ARN: Secrets Manager adds a hyphen and six characters.
      resources: [identity.secretFullArn ?? `${identity.secretArn}-??????`],
    }),
  )
  allowSecretKey(grantee, identity)
}
