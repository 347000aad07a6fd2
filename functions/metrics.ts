import { Metrics, MetricUnit } from "@aws-lambda-powertools/metrics"

export const metricNamespace = "pgstow"

/**
 * What the stack's alarms and its dashboard look at. Ages are of the newest verified backup, and of the last good drill;
 * `RestoreDuration` is how long the restore in it took.
 */
export type MetricName =
  | "BackupAgeHours"
  | "BackupSize"
  | "BackupDuration"
  | "BackupFailures"
  | "VerificationFailures"
  | "DrillAgeHours"
  | "RestoreDuration"
  | "DrillFailures"

const units = {
  BackupAgeHours: MetricUnit.NoUnit,
  BackupSize: MetricUnit.Bytes,
  BackupDuration: MetricUnit.Seconds,
  BackupFailures: MetricUnit.Count,
  VerificationFailures: MetricUnit.Count,
  DrillAgeHours: MetricUnit.NoUnit,
  RestoreDuration: MetricUnit.Seconds,
  DrillFailures: MetricUnit.Count,
} as const satisfies Record<MetricName, string>

/** Puts metrics out as a line of CloudWatch's embedded metric format, which needs no permission and no request. */
export function putMetrics(
  dimensions: Readonly<Record<string, string>>,
  values: Readonly<Partial<Record<MetricName, number>>>,
  now: Date,
): void {
  // One for each call: what is measured of one database is not of another.
  const metrics = new Metrics({ namespace: metricNamespace })
  // A name of the service, by which no alarm looks.
  metrics.clearDefaultDimensions()
  metrics.setTimestamp(now)
  metrics.addDimensions(dimensions)
  // The keys of `values` are its type's.
  for (const [name, value] of Object.entries(values) as [MetricName, number][])
    metrics.addMetric(name, units[name], value)
  metrics.publishStoredMetrics()
}
