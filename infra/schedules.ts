import { createHash } from "node:crypto"
import { Duration, Stack, TimeZone } from "aws-cdk-lib"
import { PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam"
import type { IFunction } from "aws-cdk-lib/aws-lambda"
import { Schedule, ScheduleExpression, ScheduleTargetInput, TimeWindow } from "aws-cdk-lib/aws-scheduler"
import { LambdaInvoke } from "aws-cdk-lib/aws-scheduler-targets"
import type { IQueue } from "aws-cdk-lib/aws-sqs"
import { Construct } from "constructs"

/** As many characters as EventBridge takes for the name of a schedule. */
const longestName = 64

export type ScheduleProps = {
  /** The schedule's name. One that is too long for EventBridge is cut, and ends with a digest of all of it. */
  readonly name: string
  readonly description: string
  /** EventBridge's cron or rate. */
  readonly expression: string
  /** @default UTC */
  readonly timeZone?: string
  /** Within how many minutes after that time it may start, as EventBridge likes. @default at that time */
  readonly spreadMinutes?: number
  readonly function: IFunction
  /** Where the schedule is kept: in a nested stack, where there are many. @default here */
  readonly scope?: Construct
  /** The event that the function gets. */
  readonly event: object
}

/** Calls functions at set times, with one role that may call only those. */
export class Schedules extends Construct {
  private readonly role: Role
  private readonly deadLetters: IQueue
  private readonly allowed = new Set<IFunction>()

  /** @param deadLetters where calls go that could not be made */
  constructor(scope: Construct, id: string, deadLetters: IQueue) {
    super(scope, id)
    this.deadLetters = deadLetters
    this.role = new Role(this, "Role", {
      assumedBy: new ServicePrincipal("scheduler.amazonaws.com", {
        conditions: { StringEquals: { "aws:SourceAccount": Stack.of(this).account } },
      }),
    })
    deadLetters.grantSendMessages(this.role)
  }

  add(
    id: string,
    {
      name,
      description,
      expression,
      timeZone = "UTC",
      spreadMinutes = 0,
      scope = this,
      event,
      ...props
    }: ScheduleProps,
  ): void {
    if (!this.allowed.has(props.function)) {
      this.allowed.add(props.function)
      const { functionArn } = props.function
      this.role.addToPolicy(
        new PolicyStatement({ actions: ["lambda:InvokeFunction"], resources: [functionArn] }),
      )
    }
    new Schedule(scope, id, {
      scheduleName: fittingName(name),
      description,
      schedule: ScheduleExpression.expression(expression, TimeZone.of(timeZone)),
      timeWindow:
        spreadMinutes === 0 ? TimeWindow.off() : TimeWindow.flexible(Duration.minutes(spreadMinutes)),
      target: new LambdaInvoke(props.function, {
        input: ScheduleTargetInput.fromText(JSON.stringify(event)),
        // Of its own, the library would allow every version of the function too.
        role: this.role.withoutPolicyUpdates(),
        deadLetterQueue: this.deadLetters,
        maxEventAge: Duration.hours(1),
        retryAttempts: 10,
      }),
    })
  }
}

function fittingName(name: string): string {
  if (name.length <= longestName) return name
  const end = `-${createHash("sha256").update(name).digest("hex").slice(0, 8)}`
  return name.slice(0, longestName - end.length) + end
}
