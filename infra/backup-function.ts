import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Duration, Stack } from "aws-cdk-lib"
import { PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam"
import {
  Architecture,
  Code,
  Function as LambdaFunction,
  LoggingFormat,
  Runtime,
} from "aws-cdk-lib/aws-lambda"
import { SqsDestination } from "aws-cdk-lib/aws-lambda-destinations"
import type { ILogGroup } from "aws-cdk-lib/aws-logs"
import type { IQueue } from "aws-cdk-lib/aws-sqs"
import type { Construct } from "constructs"
import { putFunction } from "./built-parts.ts"
import { withFolder } from "./with-folder.ts"

/** What all functions of a stack have in common. */
export type FunctionPlace = {
  /** What the name of each function begins with. */
  readonly name: string
  readonly architecture: "arm64" | "x86_64"
  readonly logGroup: ILogGroup
  /** Where the invocations that failed go. Lambda itself does not try again. */
  readonly deadLetters: IQueue
}

export type FunctionOptions = {
  /** The file below functions/, without its ending: also the end of the function's name. */
  readonly file: string
  readonly description: string
  /** What the handler's schema reads from PGSTOW_SETTINGS. */
  readonly settings: object
  /** More of it, known at synth and too long for an environment, which holds 4 KB. */
  readonly lists?: object
  readonly timeoutMinutes: number
  /** CPU comes with memory: 1769 MB are one vCPU. */
  readonly memoryMB: number
}

/** The bundles that were made so far, by the file's name: an app may hold several stacks. */
const bundles = new Map<string, Buffer>()

/** Writes a function of functions/ into a folder, as one file, and its lists beside it. */
function writeBundle(file: string, lists: object | undefined, folder: string): void {
  if (lists !== undefined) writeFileSync(join(folder, "settings.json"), JSON.stringify(lists))
  const outfile = join(folder, "index.mjs")
  const made = bundles.get(file)
  if (made === undefined) {
    putFunction(file, folder)
    bundles.set(file, readFileSync(outfile))
  } else writeFileSync(outfile, made)
}

/** A function of functions/, bundled on this machine, with a role that may write its log and no more. */
export function backupFunction(
  scope: Construct,
  place: FunctionPlace,
  { file, description, settings, lists, timeoutMinutes, memoryMB }: FunctionOptions,
): LambdaFunction {
  const role = new Role(scope, `${file}-role`, { assumedBy: new ServicePrincipal("lambda.amazonaws.com") })
  role.addToPolicy(
    new PolicyStatement({
      actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
      resources: [place.logGroup.logGroupArn],
    }),
  )
  // The SDK is bundled with the rest: what was tested is what runs, not the runtime's version of the day.
  const define = (folder: string) =>
    new LambdaFunction(scope, file, {
      functionName: `${place.name}-${file}`,
      description,
      role,
      code: Code.fromAsset(folder),
      handler: "index.handler",
      runtime: Runtime.NODEJS_24_X,
      architecture: place.architecture === "arm64" ? Architecture.ARM_64 : Architecture.X86_64,
      timeout: Duration.minutes(timeoutMinutes),
      memorySize: memoryMB,
      environment: { PGSTOW_SETTINGS: Stack.of(scope).toJsonString(settings) },
      logGroup: place.logGroup,
      loggingFormat: LoggingFormat.JSON,
      retryAttempts: 0,
      onFailure: new SqsDestination(place.deadLetters),
    })
  return withFolder((folder) => writeBundle(file, lists, folder), define)
}
