import { CustomResource, RemovalPolicy } from "aws-cdk-lib"
import { PolicyStatement } from "aws-cdk-lib/aws-iam"
import type { IFunction } from "aws-cdk-lib/aws-lambda"
import { CfnSecret, type ISecret, Secret } from "aws-cdk-lib/aws-secretsmanager"
import { Construct } from "constructs"
import { allowIdentity } from "./secret-key.ts"

/**
 * The key that backups are sealed for, kept in Secrets Manager: made by the first deploy, or one that is there
 * already. Never changed or removed by any later deploy, nor by the removal of the stack. Only its public half leaves
 * the secret here.
 */
export class IdentityKey extends Construct {
  /** Holds the age identity. Who may read it can read every backup. */
  readonly secret: ISecret
  /** The public key, as a value known when the stack is deployed. */
  readonly recipient: string

  /**
   * @param makeKey the function behind the custom resource, functions/make-key.ts
   * @param version another one makes the deployment read the secret again
   * @param kind of which kind the key must be. @default a new one is classic, and one that is there may be either
   * @param existing a secret that holds a key already, and is only read. @default a new one, which gets a new key
   */
  constructor(
    scope: Construct,
    id: string,
    makeKey: IFunction,
    version: number,
    kind: "classic" | "hybrid" | undefined,
    existing?: ISecret,
  ) {
    super(scope, id)
    this.secret = existing ?? this.newSecret()
    allowIdentity(makeKey, this.secret)
    if (existing === undefined)
      makeKey.addToRolePolicy(
        new PolicyStatement({
          actions: ["secretsmanager:PutSecretValue"],
          resources: [this.secret.secretArn],
        }),
      )
    const made = new CustomResource(this, "Made", {
      resourceType: "Custom::PgstowIdentity",
      serviceToken: makeKey.functionArn,
      properties: {
        secretArn: this.secret.secretArn,
        version,
        ...(existing === undefined ? {} : { existing: true }),
        ...(kind === undefined ? {} : { kind }),
      },
    })
    // The function must be allowed before it is called, and still be there when the resource is taken away.
    made.node.addDependency(makeKey)
    this.recipient = made.getAttString("recipient")
  }

  private newSecret(): ISecret {
    // Not the construct Secret: that one has CloudFormation make up a value, and another one when asked differently.
    const resource = new CfnSecret(this, "Secret", {
      description: "The age identity that opens pgstow's backups. Keep a copy off-line.",
    })
    // A first deployment that fails leaves nothing behind; nothing is sealed by then.
    resource.applyRemovalPolicy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
    return Secret.fromSecretCompleteArn(this, "Identity", resource.ref)
  }
}
