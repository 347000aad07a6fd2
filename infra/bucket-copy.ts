import { Duration, Stack } from "aws-cdk-lib"
import { PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam"
import type { IKey } from "aws-cdk-lib/aws-kms"
import type { Bucket, CfnBucket } from "aws-cdk-lib/aws-s3"
import { FilterOrPolicy, SubscriptionFilter, Topic } from "aws-cdk-lib/aws-sns"
import { SqsSubscription } from "aws-cdk-lib/aws-sns-subscriptions"
import { Queue, QueueEncryption } from "aws-cdk-lib/aws-sqs"
import { Construct } from "constructs"

export type BucketCopyProps = {
  /** What the role's name begins with. */
  readonly name: string
  readonly bucket: Bucket
  readonly key: IKey
  /** The second bucket: versioned, and with Object Lock, which S3 wants there since the first one has it. */
  readonly bucketArn: string
  /** The key that the copies are encrypted with, in the second bucket's region. */
  readonly kmsKeyArn: string
  /** The account that owns the second bucket, where it is another. */
  readonly account?: string | undefined
}

/**
 * Has S3 copy every object to a second bucket. The role has a name of its own, so that the second bucket can let it
 * in before it exists: infra/copy-bucket.json does.
 */
export class BucketCopy extends Construct {
  readonly role: Role
  /** Gets a message for every object that could not be copied. */
  readonly failures: Queue

  constructor(scope: Construct, id: string, props: BucketCopyProps) {
    super(scope, id)
    const { account, bucket, bucketArn, key, kmsKeyArn, name } = props
    const { region, urlSuffix, account: own } = Stack.of(this)
    this.role = new Role(this, "Role", {
      roleName: `${name}-copy-${region}`,
      assumedBy: new ServicePrincipal("s3.amazonaws.com"),
      description: "Copies backups to the second bucket",
    })
    const allow = (actions: string[], resources: string[], conditions: Record<string, object> = {}) =>
      this.role.addToPolicy(new PolicyStatement({ actions, resources, conditions }))
    const viaS3 = (inRegion: string) => ({
      StringLike: { "kms:ViaService": `s3.${inRegion}.${urlSuffix}` },
    })
    allow(["s3:GetReplicationConfiguration", "s3:ListBucket"], [bucket.bucketArn])
    allow(
      [
        "s3:GetObjectVersionForReplication",
        "s3:GetObjectVersionAcl",
        "s3:GetObjectVersionTagging",
        // Locks are copied too, and S3 copies nothing where it may not look at them.
        "s3:GetObjectRetention",
        "s3:GetObjectLegalHold",
      ],
      [bucket.arnForObjects("*")],
    )
    allow(
      [
        "s3:ReplicateObject",
        "s3:ReplicateDelete",
        "s3:ReplicateTags",
        ...(account === undefined ? [] : ["s3:ObjectOwnerOverrideToBucketOwner"]),
      ],
      [`${bucketArn}/*`],
    )
    allow(["kms:Decrypt"], [key.keyArn], viaS3(region))
    // arn:aws:kms:REGION:…
    allow(["kms:Encrypt", "kms:GenerateDataKey"], [kmsKeyArn], viaS3(kmsKeyArn.split(":")[3] ?? region))

    this.failures = new Queue(this, "Failures", {
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      // The most that SQS has: the alarm is over when the queue has forgotten what was not copied.
      retentionPeriod: Duration.days(14),
    })
    // Through a topic, which can leave out what S3 sends to try a destination: it says nothing of failures by EventBridge.
    // https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-s3.html
    const topic = new Topic(this, "Failed", { enforceSSL: true })
    // Not by the bucket's ARN: the bucket can't be made before S3 may publish.
    const letS3Publish = topic.addToResourcePolicy(
      new PolicyStatement({
        principals: [new ServicePrincipal("s3.amazonaws.com")],
        actions: ["sns:Publish"],
        resources: [topic.topicArn],
        conditions: { StringEquals: { "aws:SourceAccount": own } },
      }),
    )
    const subscription = topic.addSubscription(
      new SqsSubscription(this.failures, {
        rawMessageDelivery: true,
        // S3's test message has no records.
        filterPolicyWithMessageBody: {
          Records: FilterOrPolicy.policy({
            eventName: FilterOrPolicy.filter(SubscriptionFilter.existsFilter()),
          }),
        },
      }),
    )
    // A filter takes up to 15 minutes to be in force, and the test message comes when the bucket gets its settings.
    subscription.node.addDependency(bucket)

    // `defaultChild` is the CloudFormation resource of the construct above.
    const resource = bucket.node.defaultChild as CfnBucket
    if (letS3Publish.policyDependable !== undefined)
      resource.node.addDependency(letS3Publish.policyDependable)
    resource.notificationConfiguration = {
      eventBridgeConfiguration: { eventBridgeEnabled: true },
      topicConfigurations: [{ event: "s3:Replication:OperationFailedReplication", topic: topic.topicArn }],
    }
    resource.replicationConfiguration = {
      role: this.role.roleArn,
      rules: [
        {
          id: "copies",
          status: "Enabled",
          priority: 0,
          filter: { prefix: "" },
          // Cleanup reaches the copies too; versions there keep what it removed as long as that bucket's rules say.
          deleteMarkerReplication: { status: "Enabled" },
          sourceSelectionCriteria: { sseKmsEncryptedObjects: { status: "Enabled" } },
          destination: {
            bucket: bucketArn,
            encryptionConfiguration: { replicaKmsKeyId: kmsKeyArn },
            // Without them S3 sends no event when it could not copy.
            metrics: { status: "Enabled" },
            ...(account === undefined ? {} : { account, accessControlTranslation: { owner: "Destination" } }),
          },
        },
      ],
    }
  }
}
