import {
  GetBucketLifecycleConfigurationCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  type LifecycleRule,
  type S3Client,
} from "@aws-sdk/client-s3"
import { isS3Error } from "./s3-failure.ts"

/** What a bucket does with objects by itself. Each is undefined where it may not be asked, or the service has no such thing. */
export type BucketRules = {
  readonly versioning: "enabled" | "suspended" | "off" | undefined
  /** How long objects can't be removed that are stored now; null where they can be at once. */
  readonly lock: { readonly mode: string; readonly days: number } | null | undefined
  readonly lifecycle: readonly BucketRule[] | undefined
}

/** A rule that is in force for objects as pgstow stores them: without tags. */
export type BucketRule = {
  readonly id: string
  /** What the keys of its objects begin with. */
  readonly prefix: string
  /** When objects are removed: after so many days, or at a date. */
  readonly expires: number | Date | undefined
  /** The storage class that objects are moved to, and after how many days, or at which date. */
  readonly transitions: readonly { readonly to: string; readonly when: number | Date }[]
  /** Whether older versions are removed at some time. */
  readonly removesOldVersions: boolean
}

/** Asks for the rules of a bucket. Rejects with what the client rejects with where the service does not answer. */
export async function readBucketRules(
  client: S3Client,
  bucket: string,
  options: { readonly abortSignal?: AbortSignal },
): Promise<BucketRules> {
  const Bucket = { Bucket: bucket }
  const [versioning, lock, lifecycle] = await Promise.all([
    known(() => client.send(new GetBucketVersioningCommand(Bucket), options)),
    known(
      () => client.send(new GetObjectLockConfigurationCommand(Bucket), options),
      ["ObjectLockConfigurationNotFoundError"],
    ),
    known(
      () => client.send(new GetBucketLifecycleConfigurationCommand(Bucket), options),
      ["NoSuchLifecycleConfiguration"],
    ),
  ])
  return {
    versioning:
      versioning &&
      (versioning.Status === "Enabled" ? "enabled" : versioning.Status === "Suspended" ? "suspended" : "off"),
    lock: lock && lockOf(lock.ObjectLockConfiguration?.Rule?.DefaultRetention),
    lifecycle: lifecycle && (lifecycle.Rules ?? []).flatMap(ruleOf),
  }
}

/** What `ask` gives; nothing of it where the service says by one of `none` that there is none. Undefined where it refuses. */
async function known<T extends object>(
  ask: () => Promise<T>,
  none: readonly string[] = [],
): Promise<Partial<T> | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (isS3Error(error, ...none)) return {}
    // Services have these operations or not, and say so in many ways.
    if (isS3Error(error, 400, 403, 404, 405, 501)) return undefined
    throw error
  }
}

function lockOf(
  retention: { readonly Mode?: string; readonly Days?: number; readonly Years?: number } | undefined,
): BucketRules["lock"] {
  if (retention?.Mode === undefined) return null
  return { mode: retention.Mode, days: retention.Days ?? (retention.Years ?? 0) * 365 }
}

function ruleOf(rule: LifecycleRule): BucketRule[] {
  const { ID: id = "", Status, Filter, Prefix, Expiration, Transitions = [] } = rule
  if (Status !== "Enabled" || Filter?.Tag !== undefined || Filter?.And?.Tags !== undefined) return []
  return [
    {
      id,
      prefix: Filter?.Prefix ?? Filter?.And?.Prefix ?? Prefix ?? "",
      expires: Expiration?.Days ?? Expiration?.Date,
      transitions: Transitions.map((transition) => ({
        to: transition.StorageClass ?? "",
        when: transition.Days ?? transition.Date ?? 0,
      })),
      removesOldVersions: rule.NoncurrentVersionExpiration !== undefined,
    },
  ]
}
