import { ArnFormat, Duration, Stack } from "aws-cdk-lib"
import {
  Alarm,
  ComparisonOperator,
  Dashboard,
  GraphWidget,
  type IMetric,
  Metric,
  Stats,
  TreatMissingData,
} from "aws-cdk-lib/aws-cloudwatch"
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions"
import { Match, Rule } from "aws-cdk-lib/aws-events"
import { LambdaFunction } from "aws-cdk-lib/aws-events-targets"
import type { IFunction } from "aws-cdk-lib/aws-lambda"
import type { ITopic } from "aws-cdk-lib/aws-sns"
import type { IQueue } from "aws-cdk-lib/aws-sqs"
import { Construct } from "constructs"
import { type MetricName, metricNamespace } from "../functions/metrics.ts"
import type { BackupDatabase, BackupTasks } from "./backup-tasks.ts"

export type MonitoringProps = {
  /** What the name of each alarm begins with, and the name of the dashboard. */
  readonly name: string
  readonly databases: readonly BackupDatabase[]
  readonly deadLetters: IQueue
  /** Gets a message for every object that could not be copied to the second bucket, where there is one. */
  readonly copyFailures: IQueue | undefined
  readonly topic: ITopic
  /** Tells the webhooks of alarms. The topic hears of them directly, so that one survives the other. */
  readonly notify: IFunction
  /** Say of which databases there are drills, and where the alarms of these are kept. */
  readonly tasks: BackupTasks
}

/** Alarms, and a dashboard with a row of graphs for each database. */
export class Monitoring extends Construct {
  readonly dashboard: Dashboard
  private readonly props: MonitoringProps

  constructor(scope: Construct, id: string, props: MonitoringProps) {
    super(scope, id)
    this.props = props
    const { copyFailures, databases, deadLetters, name, notify, tasks } = props
    this.eventAlarm("backup-failed", "A backup failed", this.metric("BackupFailures"))
    this.eventAlarm(
      "verification-failed",
      "A backup is damaged, or could not be verified",
      this.metric("VerificationFailures"),
    )
    this.eventAlarm(
      "drill-failed",
      "A backup could not be restored, or not to what it should be",
      this.metric("DrillFailures"),
    )
    this.queueAlarm(
      "dead-letters",
      "A function of pgstow failed: the queue of dead letters holds what it was asked",
      deadLetters,
    )
    if (copyFailures !== undefined)
      this.queueAlarm(
        "copy-failed",
        "S3 could not copy an object to the second bucket: the queue of failures says which",
        copyFailures,
      )
    for (const database of databases) {
      this.overdueAlarm(database)
      if (tasks.isDrilled(database)) this.drillOverdueAlarm(database)
    }
    new Rule(this, "AlarmChanged", {
      description: "An alarm of pgstow was raised or is over: tell people",
      eventPattern: {
        source: ["aws.cloudwatch"],
        detailType: ["CloudWatch Alarm State Change"],
        // A list of all ARNs would be too long for EventBridge from some twenty databases on.
        resources: Match.anyOf(
          ...[
            "backup-failed",
            "verification-failed",
            "drill-failed",
            "dead-letters",
            "copy-failed",
            "overdue-",
            "drill-overdue-",
          ].map((alarm) => Match.prefix(this.alarmArn(alarm))),
        ),
        // That no event came for a while does not mean that anything was fixed.
        detail: {
          $or: [
            { state: { value: ["ALARM"] } },
            { alarmName: [{ prefix: `${name}-overdue-` }] },
            { alarmName: [{ prefix: `${name}-drill-overdue-` }] },
            { alarmName: [{ prefix: `${name}-dead-letters` }] },
            { alarmName: [{ prefix: `${name}-copy-failed` }] },
          ],
        },
      },
      targets: [new LambdaFunction(notify, { deadLetterQueue: deadLetters, retryAttempts: 10 })],
    })
    this.dashboard = new Dashboard(this, "Dashboard", {
      // Dashboards belong to the account, not to a region.
      dashboardName: `${name}-${Stack.of(this).region}`,
      defaultInterval: Duration.days(35),
      widgets: databases.map((database) => this.graphs(database)),
    })
  }

  /** Raised by a single event. Its end says only that there was no other, so nobody is told. */
  private eventAlarm(id: string, description: string, metric: IMetric): Alarm {
    return this.alarm(id, description, {
      metric,
      threshold: 1,
      evaluationPeriods: 1,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: TreatMissingData.NOT_BREACHING,
    })
  }

  /** Raised as long as there is something in a queue. */
  private queueAlarm(id: string, description: string, queue: IQueue): void {
    const messages = queue.metricApproximateNumberOfMessagesVisible({
      period: Duration.minutes(5),
      statistic: Stats.MAXIMUM,
    })
    this.tellOfEnd(this.eventAlarm(id, description, messages))
  }

  /** Raised where the newest verified backup is too old, and where nobody can say how old it is. */
  private overdueAlarm({ name, maxAgeHours }: BackupDatabase): void {
    const description = `${name} has no verified backup that ended within the last ${maxAgeHours} hours`
    const alarm = this.alarm(`overdue-${name}`, description, {
      metric: this.metric("BackupAgeHours", name),
      threshold: maxAgeHours,
      evaluationPeriods: 2,
      comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
      treatMissingData: TreatMissingData.BREACHING,
    })
    this.tellOfEnd(alarm)
  }

  /**
   * Raised where the last good drill is too old. Where nobody can say how old it is, the other alarm of the database
   * is raised already.
   */
  private drillOverdueAlarm({ name, drill }: BackupDatabase): void {
    if (drill === false) return
    const { maxAgeHours } = drill
    const description = `no drill of ${name} was good within the last ${maxAgeHours} hours`
    const alarm = this.alarm(
      `drill-overdue-${name}`,
      description,
      {
        metric: this.metric("DrillAgeHours", name),
        threshold: maxAgeHours,
        evaluationPeriods: 2,
        comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
        treatMissingData: TreatMissingData.IGNORE,
      },
      this.props.tasks.stackOf(name),
    )
    this.tellOfEnd(alarm)
  }

  private tellOfEnd(alarm: Alarm): void {
    alarm.addOkAction(new SnsAction(this.props.topic))
  }

  private alarmArn(name: string): string {
    return Stack.of(this).formatArn({
      service: "cloudwatch",
      resource: "alarm",
      resourceName: `${this.props.name}-${name}`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    })
  }

  private alarm(
    id: string,
    alarmDescription: string,
    props: {
      readonly metric: IMetric
      readonly threshold: number
      readonly evaluationPeriods: number
      readonly comparisonOperator: ComparisonOperator
      readonly treatMissingData: TreatMissingData
    },
    scope: Construct = this,
  ): Alarm {
    const { name, topic } = this.props
    const alarm = new Alarm(scope, id, { ...props, alarmName: `${name}-${id}`, alarmDescription })
    alarm.addAlarmAction(new SnsAction(topic))
    return alarm
  }

  private metric(metricName: MetricName, database?: string): Metric {
    const measured = database !== undefined
    return new Metric({
      namespace: metricNamespace,
      metricName,
      dimensionsMap: { Stack: this.props.name, ...(measured ? { Database: database } : {}) },
      statistic: measured ? Stats.MAXIMUM : Stats.SUM,
      period: measured ? Duration.hours(1) : Duration.minutes(5),
    })
  }

  private graphs(database: BackupDatabase) {
    const { name, maxAgeHours, drill } = database
    const isDrilled = drill !== false && this.props.tasks.isDrilled(database)
    const graph = (title: string, metric: MetricName, limit?: number, right?: MetricName) =>
      new GraphWidget({
        title: `${name}: ${title}`,
        left: [this.metric(metric, name)],
        leftYAxis: { min: 0 },
        width: isDrilled ? 6 : 8,
        ...(right === undefined ? {} : { right: [this.metric(right, name)], rightYAxis: { min: 0 } }),
        ...(limit === undefined ? {} : { leftAnnotations: [{ value: limit, label: "overdue" }] }),
      })
    return [
      graph("age of the newest verified backup, hours", "BackupAgeHours", maxAgeHours),
      graph("size, bytes", "BackupSize"),
      graph("duration, seconds", "BackupDuration"),
      // One graph of both: a dashboard holds 500.
      ...(isDrilled
        ? [
            graph(
              "age of the last good drill, hours; time to restore, seconds",
              "DrillAgeHours",
              drill.maxAgeHours,
              "RestoreDuration",
            ),
          ]
        : []),
    ]
  }
}
