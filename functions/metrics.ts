export const metricNamespace = "pgstow"

/** What the stack's alarms and its dashboard look at. Ages are of the newest verified backup. */
export type MetricName =
  | "BackupAgeHours"
  | "BackupSize"
  | "BackupDuration"
  | "BackupFailures"
  | "VerificationFailures"

const units = {
  BackupAgeHours: "None",
  BackupSize: "Bytes",
  BackupDuration: "Seconds",
  BackupFailures: "Count",
  VerificationFailures: "Count",
} as const satisfies Record<MetricName, string>

/**
 * Puts metrics out as a line of CloudWatch's embedded metric format, which needs no permission and no request:
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 */
export function putMetrics(
  dimensions: Readonly<Record<string, string>>,
  values: Readonly<Partial<Record<MetricName, number>>>,
  now: Date,
): void {
  // The keys of `values` are its type's.
  const names = Object.keys(values) as MetricName[]
  const line = JSON.stringify({
    _aws: {
      Timestamp: now.getTime(),
      CloudWatchMetrics: [
        {
          Namespace: metricNamespace,
          Dimensions: [Object.keys(dimensions)],
          Metrics: names.map((name) => ({ Name: name, Unit: units[name] })),
        },
      ],
    },
    ...dimensions,
    ...values,
  })
  // Not by the console: Lambda would wrap what goes there.
  process.stdout.write(`${line}\n`)
}
