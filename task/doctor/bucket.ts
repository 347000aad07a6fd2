import type { BucketRule, BucketRules } from "../storage/bucket-rules.ts"
import type { Finding } from "./finding.ts"

/** Classes whose objects can't be read before somebody has asked for them, hours ahead. */
const offlineClasses = ["GLACIER", "DEEP_ARCHIVE"]

/** @param prefix what the keys of backups begin with in the bucket */
export function bucketFindings(
  url: string,
  { prefix, versioning, lock, lifecycle }: BucketRules & { readonly prefix: string },
): Finding[] {
  const ours = (lifecycle ?? []).filter((rule) => overlaps(rule.prefix, prefix))
  return [
    ...ours.flatMap((rule) => expiryFindings(url, rule)),
    ...ours.flatMap((rule) => transitionFindings(url, rule)),
    ...protectionFindings(url, versioning, lock),
    ...oldVersionFindings(url, prefix, versioning, lifecycle && ours),
  ]
}

/** Whether some keys begin with both. */
function overlaps(one: string, other: string): boolean {
  return one.startsWith(other) || other.startsWith(one)
}

function after(when: number | Date): string {
  return typeof when === "number" ? `after ${when} days` : `on ${when.toISOString().slice(0, 10)}`
}

const named = ({ id, prefix }: BucketRule) =>
  `the lifecycle rule ${JSON.stringify(id)} (prefix ${JSON.stringify(prefix)})`

function expiryFindings(url: string, rule: BucketRule): Finding[] {
  if (rule.expires === undefined) return []
  return [
    {
      check: "storage.lifecycle-expiry",
      severity: "warning",
      subject: url,
      what: `${named(rule)} removes objects ${after(rule.expires)}`,
      why: "It knows nothing of what belongs together: of a backup that the retention policy keeps, it takes the objects, and the newest one too when no new one comes. pgstow cleanup removes whole backups, and never the last good one.",
      fix: `Take the expiration out of the rule ${JSON.stringify(rule.id)}, or give it a prefix other than the backups'; keep PGSTOW_KEEP_DAYS with PGSTOW_CLEANUP=true instead.`,
    },
  ]
}

function transitionFindings(url: string, rule: BucketRule): Finding[] {
  return rule.transitions
    .filter(({ to }) => offlineClasses.includes(to))
    .map(({ to, when }) => ({
      check: "storage.lifecycle-transition",
      severity: "warning",
      subject: url,
      what: `${named(rule)} moves objects to ${to} ${after(when)}`,
      why: "What lies there can't be read before it was asked for, which takes hours: no restore, no verification and no comparison until then.",
      fix: `Let the rule ${JSON.stringify(rule.id)} move objects to GLACIER_IR, which is read at once.`,
    }))
}

function protectionFindings(
  url: string,
  versioning: BucketRules["versioning"],
  lock: BucketRules["lock"],
): Finding[] {
  if (versioning === undefined || versioning === "enabled" || lock) return []
  const bucket = bucketOf(url)
  return [
    {
      check: "storage.versioning",
      severity: "notice",
      subject: url,
      what: `the bucket keeps no older versions (versioning is ${versioning})`,
      why: "Whoever has this machine's credentials, and may delete, can delete every backup for good. With versions, and better with Object Lock, they come back.",
      fix: `aws s3api put-bucket-versioning --bucket ${bucket} --versioning-configuration Status=Enabled`,
    },
  ]
}

/** @param rules those for backups; undefined where they are not known */
function oldVersionFindings(
  url: string,
  prefix: string,
  versioning: BucketRules["versioning"],
  rules: readonly BucketRule[] | undefined,
): Finding[] {
  const isCovered = rules?.some((rule) => rule.removesOldVersions && prefix.startsWith(rule.prefix))
  if (versioning !== "enabled" || rules === undefined || isCovered) return []
  const rule = {
    ID: "pgstow-old-versions",
    Status: "Enabled",
    Filter: { Prefix: prefix },
    NoncurrentVersionExpiration: { NoncurrentDays: 14 },
  }
  return [
    {
      check: "storage.old-versions",
      severity: "notice",
      subject: url,
      what: "the bucket keeps older versions, and no rule ever removes them",
      why: "What cleanup removes stays as an older version, and is paid for without end. The command replaces the bucket's lifecycle rules: add those that it has.",
      fix: `aws s3api put-bucket-lifecycle-configuration --bucket ${bucketOf(url)} --lifecycle-configuration '${JSON.stringify({ Rules: [rule] })}'`,
    },
  ]
}

function bucketOf(url: string): string {
  return new URL(url).hostname
}
