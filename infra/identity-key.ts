import { CustomResource, RemovalPolicy } from "aws-cdk-lib"
import { PolicyStatement } from "aws-cdk-lib/aws-iam"
import type { IFunction } from "aws-cdk-lib/aws-lambda"
import { CfnSecret, type ISecret, Secret } from "aws-cdk-lib/aws-secretsmanager"
import { Construct } from "constructs"

/**
 * The key that backups are sealed for: made by the first deploy, kept in Secrets Manager, never changed or removed
 * by any later one, nor by the removal of the stack. Only its public half leaves the secret here.
 */
export class IdentityKey extends Construct {
  /** Holds the age identity. Who may read it can read every backup. */
  readonly secret: ISecret
  /** The public key, as a value known when the stack is deployed. */
  readonly recipient: string

  /**
   * @param makeKey the function behind the custom resource, functions/make-key.ts
   * @param version another one makes the deployment read the secret again
   */
  constructor(scope: Construct, id: string, makeKey: IFunction, version: number) {
    super(scope, id)
    // Not the construct Secret: that one has CloudFormation make up a value, and another one when asked differently.
    const resource = new CfnSecret(this, "Secret", {
      description: "The age identity that opens pgstow's backups. Keep a copy off-line.",
    })
    resource.applyRemovalPolicy(RemovalPolicy.RETAIN)
    this.secret = Secret.fromSecretCompleteArn(this, "Identity", resource.ref)
    makeKey.addToRolePolicy(
      new PolicyStatement({
        actions: ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"],
        resources: [resource.ref],
      }),
    )
    const made = new CustomResource(this, "Made", {
      resourceType: "Custom::PgstowIdentity",
      serviceToken: makeKey.functionArn,
      properties: { secretArn: resource.ref, version },
    })
    // The function must be allowed before it is called, and still be there when the resource is taken away.
    made.node.addDependency(makeKey)
    this.recipient = made.getAttString("recipient")
  }
}
