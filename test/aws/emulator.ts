import { spawn } from "node:child_process"
import { openSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as z from "zod"
import { freePort } from "../support/postgres.ts"
import { awsTools } from "./aws-tools.ts"

/** AWS on this machine, by MiniStack. */
export type Emulator = {
  /** What the SDK, the CDK and AWS's command line must find in their environment to talk to it. */
  readonly env: Readonly<Record<string, string>>
  /**
   * Mends what it makes of task definitions: it takes over their secrets from a template as CloudFormation spells
   * them, and then looks for them as ECS does. To be called after every deployment.
   */
  mendSecrets(): Promise<void>
  /** Where it says what it does. */
  readonly logFile: string
  /** Where it writes down what roles ask of it: a line of JSON for each request, as emulator.py has them. */
  readonly callsFile: string
  stop(): Promise<void>
}

const arnsSchema = z.object({ taskDefinitionArns: z.array(z.string()) })
/** A definition with secrets in CloudFormation's spelling, put into that of ECS. */
const definitionSchema = z.object({
  taskDefinition: z.looseObject({
    containerDefinitions: z.tuple([
      z.looseObject({
        secrets: z
          .array(z.object({ Name: z.string(), ValueFrom: z.string() }))
          .transform((secrets) =>
            secrets.map(({ Name, ValueFrom }) => ({ name: Name, valueFrom: ValueFrom })),
          ),
      }),
    ]),
  }),
})

const nodeFolder = join(import.meta.dirname, "../../node_modules/.bin")

/** @param dockerUrl where Docker's API is, for ECS tasks */
export async function startEmulator(folder: string, dockerUrl: string): Promise<Emulator> {
  const port = await freePort()
  const logFile = join(folder, "emulator.log")
  const callsFile = join(folder, "calls.jsonl")
  const log = openSync(logFile, "w")
  const env = {
    PATH: `${nodeFolder}:${awsTools()}:${process.env.PATH}`,
    AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`,
    AWS_REGION: "eu-central-1",
    AWS_DEFAULT_REGION: "eu-central-1",
    AWS_ACCESS_KEY_ID: "test",
    AWS_SECRET_ACCESS_KEY: "test",
    AWS_EC2_METADATA_DISABLED: "true",
    HOME: folder,
  }
  const emulator = spawn(join(awsTools(), "python"), [join(import.meta.dirname, "emulator.py")], {
    env: {
      ...env,
      GATEWAY_PORT: String(port),
      BIND_HOST: "127.0.0.1",
      MINISTACK_HOST: "127.0.0.1",
      MINISTACK_REGION: "eu-central-1",
      DOCKER_HOST: dockerUrl,
      TMPDIR: folder,
      S3_DATA_DIR: join(folder, "s3"),
      STATE_DIR: join(folder, "state"),
      IOT_MTLS_ENABLED: "0",
      CALLS_FILE: callsFile,
    },
    stdio: ["ignore", log, log],
  })
  const ended = new Promise<void>((resolve) => emulator.once("close", () => resolve()))
  const answers = () =>
    fetch(`${env.AWS_ENDPOINT_URL}/_ministack/health`).then(
      ({ ok }) => ok,
      () => false,
    )
  while (!(await answers())) {
    if (emulator.exitCode !== null) throw new Error(`the emulator did not start; it said why in ${logFile}`)
    await sleep(100)
  }
  const ask = async (operation: string, input: object): Promise<unknown> => {
    const response = await fetch(env.AWS_ENDPOINT_URL, {
      method: "POST",
      headers: {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": `AmazonEC2ContainerServiceV20141113.${operation}`,
        authorization: "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/ecs/aws4_request",
      },
      body: JSON.stringify(input),
    })
    if (!response.ok)
      throw new Error(`${operation} was answered ${response.status}: ${await response.text()}`)
    const answer: unknown = await response.json()
    return answer
  }
  return {
    env,
    logFile,
    callsFile,
    mendSecrets: async () => {
      const { taskDefinitionArns } = arnsSchema.parse(await ask("ListTaskDefinitions", {}))
      for (const taskDefinition of taskDefinitionArns) {
        const definition = definitionSchema.safeParse(await ask("DescribeTaskDefinition", { taskDefinition }))
        if (definition.success) await ask("RegisterTaskDefinition", definition.data.taskDefinition)
      }
    },
    stop: async () => {
      emulator.kill("SIGTERM")
      const kill = setTimeout(() => emulator.kill("SIGKILL"), 5_000)
      await ended
      clearTimeout(kill)
    },
  }
}
