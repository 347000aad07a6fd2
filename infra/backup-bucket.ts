import { Duration, RemovalPolicy, Stack } from "aws-cdk-lib"
import { Effect, type IGrantable, PolicyStatement } from "aws-cdk-lib/aws-iam"
import { type IKey, Key } from "aws-cdk-lib/aws-kms"
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type CfnBucket,
  type IBucket,
  ObjectOwnership,
  StorageClass,
} from "aws-cdk-lib/aws-s3"
import { Construct } from "constructs"
import type * as z from "zod"
import { reportKey } from "../functions/report-key.ts"
import type { bucketOptionsSchema } from "../task/config/bucket-schema.ts"
import { BucketCopy } from "./bucket-copy.ts"

export type BackupBucketProps = z.output<typeof bucketOptionsSchema> & {
  /** What the name of the role begins with that copies to the second bucket. */
  readonly name: string
}

/**
 * The bucket that holds the backups, and its key. Both stay when the stack goes, and no setting replaces them but
 * another existing one.
 *
 * The grants are the only ways in that this stack gives to anyone. A `keys` pattern is below the bucket's root:
 * "orders/*" is all backups of the database orders.
 */
export class BackupBucket extends Construct {
  readonly bucket: IBucket
  readonly key: IKey
  /** What copies to the second bucket, where there is one. */
  readonly copy: BucketCopy | undefined = undefined
  /** The storage as pgstow names it. */
  readonly storageUrl: string

  constructor(scope: Construct, id: string, props: BackupBucketProps) {
    super(scope, id)
    const { existing } = props
    if (existing === undefined) {
      const key = this.newKey()
      const bucket = this.newBucket(key, props)
      this.key = key
      this.bucket = bucket
      this.copy =
        props.copyTo && new BucketCopy(this, "Copy", { ...props.copyTo, name: props.name, bucket, key })
    } else {
      this.key = Key.fromKeyArn(this, "Key", existing.kmsKeyArn)
      this.bucket = Bucket.fromBucketName(this, "Bucket", existing.name)
    }
    this.storageUrl = `s3://${this.bucket.bucketName}?region=${Stack.of(this).region}&write-once=true`
  }

  private newKey(): Key {
    return new Key(this, "Key", {
      description: "Encrypts the bucket of pgstow's backups",
      enableKeyRotation: true,
      // A first deployment that fails leaves nothing behind; nothing is sealed by then.
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    })
  }

  private newBucket(encryptionKey: IKey, props: BackupBucketProps): Bucket {
    const bucket = new Bucket(this, "Bucket", {
      versioned: true,
      encryption: BucketEncryption.KMS,
      encryptionKey,
      bucketKeyEnabled: true,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
      // Always possible, so that asking for a lock later does not replace the bucket. Locks nothing by itself.
      objectLockEnabled: true,
      lifecycleRules: [
        {
          id: "unfinished uploads and removed backups",
          abortIncompleteMultipartUploadAfter: Duration.days(7),
          noncurrentVersionExpiration: Duration.days(props.undeleteDays ?? 14),
          expiredObjectDeleteMarker: true,
        },
        {
          // A new version comes every day. A lock keeps those before for as long as it says.
          id: "earlier reports",
          prefix: reportKey,
          noncurrentVersionExpiration: Duration.days(1),
        },
        ...(props.coldAfterDays === undefined
          ? []
          : [
              {
                id: "old backups get cheaper",
                transitions: [
                  {
                    storageClass: StorageClass.GLACIER_INSTANT_RETRIEVAL,
                    transitionAfter: Duration.days(props.coldAfterDays),
                  },
                ],
              },
            ]),
      ],
    })
    // `defaultChild` is the CloudFormation resource of the construct above.
    const resource = bucket.node.defaultChild as CfnBucket
    // The construct's own switch for this would bring a function and a custom resource along.
    resource.notificationConfiguration = { eventBridgeConfiguration: { eventBridgeEnabled: true } }
    if (props.objectLock !== undefined)
      resource.objectLockConfiguration = {
        objectLockEnabled: "Enabled",
        rule: { defaultRetention: props.objectLock },
      }
    return bucket
  }

  /**
   * May store new objects below a prefix and see their names and sizes there, to learn what became of a request
   * whose answer was lost. May not read, replace or remove any, nor add a finding.
   */
  grantPut(grantee: IGrantable, prefix: string): void {
    this.allow(grantee, ["s3:PutObject", "s3:AbortMultipartUpload"], `${prefix}*`)
    this.writeOnce(grantee)
    this.deny(grantee, `${prefix}*/checks/*`)
    grantee.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({
        actions: ["s3:ListBucket"],
        resources: [this.bucket.bucketArn],
        conditions: { StringLike: { "s3:prefix": `${prefix}*` } },
      }),
    )
    // S3 asks for Decrypt to join the parts of an upload. Without s3:GetObject it opens nothing.
    this.allowKey(grantee, ["kms:GenerateDataKey", "kms:Decrypt"])
  }

  /** May list the bucket and read objects. */
  grantRead(grantee: IGrantable, keys: string): void {
    grantee.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({ actions: ["s3:ListBucket"], resources: [this.bucket.bucketArn] }),
    )
    this.allow(grantee, ["s3:GetObject"], keys)
    this.allowKey(grantee, ["kms:Decrypt"])
  }

  /** May add findings to the backups below a prefix; never replaces one. */
  grantPutChecks(grantee: IGrantable, prefix = ""): void {
    this.allow(grantee, ["s3:PutObject"], `${prefix}*/checks/*`)
    this.writeOnce(grantee)
    this.allowKey(grantee, ["kms:GenerateDataKey"])
  }

  /** May remove objects, which versions then still hold for a while, and end unfinished uploads. */
  grantRemove(grantee: IGrantable): void {
    grantee.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({ actions: ["s3:ListBucketMultipartUploads"], resources: [this.bucket.bucketArn] }),
    )
    this.allow(grantee, ["s3:DeleteObject", "s3:AbortMultipartUpload"], "*")
  }

  /** May read what was found of backups. */
  grantReadChecks(grantee: IGrantable): void {
    this.allow(grantee, ["s3:GetObject"], "*/checks/*")
  }

  /** May write the report, in place of the one before. */
  grantPutReport(grantee: IGrantable): void {
    this.allow(grantee, ["s3:PutObject"], reportKey)
    this.allowKey(grantee, ["kms:GenerateDataKey"])
  }

  /** May read the report, and sign links by which others may. */
  grantReadReport(grantee: IGrantable): void {
    this.allow(grantee, ["s3:GetObject"], reportKey)
    this.allowKey(grantee, ["kms:Decrypt"])
  }

  private allow(grantee: IGrantable, actions: string[], keys: string): void {
    grantee.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({ actions, resources: [this.bucket.arnForObjects(keys)] }),
    )
  }

  private allowKey(grantee: IGrantable, actions: string[]): void {
    grantee.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({
        actions,
        resources: [this.key.keyArn],
        conditions: {
          StringEquals: { "kms:ViaService": `s3.${Stack.of(this).region}.${Stack.of(this).urlSuffix}` },
        },
      }),
    )
  }

  private deny(grantee: IGrantable, keys: string, conditions: Record<string, object> = {}): void {
    grantee.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({
        effect: Effect.DENY,
        actions: ["s3:PutObject"],
        resources: [this.bucket.arnForObjects(keys)],
        conditions,
      }),
    )
  }

  /**
   * Whatever makes an object must ask for there to be none: a later version would hide the good one, which then
   * goes after `undeleteDays`. Of the requests that s3:PutObject allows, these two are not about an object yet:
   * beginning an upload, and sending a part.
   * https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
   */
  private writeOnce(grantee: IGrantable): void {
    this.deny(grantee, "*", {
      Null: { "s3:if-none-match": "true" },
      Bool: { "s3:ObjectCreationOperation": "true" },
    })
  }
}
