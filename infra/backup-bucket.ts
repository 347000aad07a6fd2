import { Duration, RemovalPolicy, Stack } from "aws-cdk-lib"
import { type IGrantable, PolicyStatement } from "aws-cdk-lib/aws-iam"
import { Key } from "aws-cdk-lib/aws-kms"
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type CfnBucket,
  ObjectOwnership,
  type ReplicationRule,
  StorageClass,
} from "aws-cdk-lib/aws-s3"
import { Construct } from "constructs"
import type * as z from "zod"
import type { bucketOptionsSchema } from "./settings.ts"

export type BackupBucketProps = z.output<typeof bucketOptionsSchema>

/**
 * The bucket that holds the backups, and its key. Both stay when the stack goes, and no setting replaces them.
 *
 * The grants are the only ways in that this stack gives to anyone. A `keys` pattern is below the bucket's root:
 * "orders/*" is all backups of the database orders.
 */
export class BackupBucket extends Construct {
  readonly bucket: Bucket
  readonly key: Key
  /** The storage as pgstow names it. */
  readonly storageUrl: string

  constructor(scope: Construct, id: string, props: BackupBucketProps) {
    super(scope, id)
    this.key = new Key(this, "Key", {
      description: "Encrypts the bucket of pgstow's backups",
      enableKeyRotation: true,
      removalPolicy: RemovalPolicy.RETAIN,
    })
    this.bucket = new Bucket(this, "Bucket", {
      versioned: true,
      encryption: BucketEncryption.KMS,
      encryptionKey: this.key,
      bucketKeyEnabled: true,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      removalPolicy: RemovalPolicy.RETAIN,
      // Always possible, so that asking for a lock later does not replace the bucket. Locks nothing by itself.
      objectLockEnabled: true,
      lifecycleRules: [
        {
          id: "unfinished uploads and removed backups",
          abortIncompleteMultipartUploadAfter: Duration.days(7),
          noncurrentVersionExpiration: Duration.days(props.undeleteDays),
          expiredObjectDeleteMarker: true,
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
      ...(props.copyTo === undefined ? {} : { replicationRules: [this.copyRule(props.copyTo)] }),
    })
    // `defaultChild` is the CloudFormation resource of the construct above.
    const resource = this.bucket.node.defaultChild as CfnBucket
    // The construct's own switch for this would bring a function and a custom resource along.
    resource.notificationConfiguration = { eventBridgeConfiguration: { eventBridgeEnabled: true } }
    if (props.objectLock !== undefined)
      resource.objectLockConfiguration = {
        objectLockEnabled: "Enabled",
        rule: { defaultRetention: props.objectLock },
      }
    this.storageUrl = `s3://${this.bucket.bucketName}?region=${Stack.of(this).region}`
  }

  /** May store new objects; may neither read nor remove any. Versions keep what a second put would hide. */
  grantPut(grantee: IGrantable, keys: string): void {
    this.allow(grantee, ["s3:PutObject", "s3:AbortMultipartUpload"], keys)
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

  /** May lay findings beside backups. */
  grantPutChecks(grantee: IGrantable): void {
    this.allow(grantee, ["s3:PutObject"], "*/checks/*")
    this.allowKey(grantee, ["kms:GenerateDataKey"])
  }

  /** May remove objects, which versions then still hold for a while, and end unfinished uploads. */
  grantRemove(grantee: IGrantable): void {
    grantee.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({ actions: ["s3:ListBucketMultipartUploads"], resources: [this.bucket.bucketArn] }),
    )
    this.allow(grantee, ["s3:DeleteObject", "s3:AbortMultipartUpload"], "*")
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

  private copyRule({
    bucketArn,
    kmsKeyArn,
    account,
  }: NonNullable<BackupBucketProps["copyTo"]>): ReplicationRule {
    const destination = Bucket.fromBucketAttributes(this, "Copy", {
      bucketArn,
      ...(account === undefined ? {} : { account }),
    })
    return {
      destination,
      sseKmsEncryptedObjects: true,
      // Cleanup reaches the copies too; versions there keep what it removed as long as that bucket's rules say.
      deleteMarkerReplication: true,
      ...(account === undefined ? {} : { accessControlTransition: true }),
      ...(kmsKeyArn === undefined ? {} : { kmsKey: Key.fromKeyArn(this, "CopyKey", kmsKeyArn) }),
    }
  }
}
