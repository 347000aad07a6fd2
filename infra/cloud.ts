import { CloudFormationClient, DescribeStacksCommand } from "@aws-sdk/client-cloudformation"
import { CloudWatchLogsClient } from "@aws-sdk/client-cloudwatch-logs"
import { DescribeTasksCommand, ECSClient, ListTasksCommand, type Task } from "@aws-sdk/client-ecs"
import { Command } from "commander"
import * as z from "zod"
import { runTask, type TaskPlace, taskPlaceSchema } from "../functions/run-task.ts"
import { messageOf, PgstowError } from "../task/errors.ts"
import { followTask } from "./follow-task.ts"

/** Runs pgstow's commands in the cloud, as tasks of the stack, and follows each to its end: `npm run cloud -- --help`. */

/** What the output Place holds: where tasks run, and what the families of their definitions begin with. */
const placeSchema = taskPlaceSchema.extend({ name: z.string(), restores: z.boolean().default(true) })
type Place = z.infer<typeof placeSchema>

const cloudFormation = new CloudFormationClient()
const ecs = new ECSClient()
const logs = new CloudWatchLogsClient()

const program = new Command("cloud")
  .description("Runs pgstow in the cloud and follows it. Ends with the task's exit code.")
  .option("--stack <name>", "the stack's name", "Pgstow")
  .option("--name <name>", "which of them, where the stack holds several")
  .addHelpText(
    "after",
    `
Examples:
  npm run cloud -- backup orders
  npm run cloud -- list orders
  npm run cloud -- restore orders --into orders_restored
  npm run cloud -- restore orders --backup 20260102T030000Z-k3v9x2ab --into orders_restored --table public.invoices
  npm run cloud -- restore crm --server main --into crm_restored
  npm run cloud -- verify orders latest
  npm run cloud -- drill orders
  npm run cloud -- logs backup-orders`,
  )

program
  .command("backup <database>")
  .description("back up a database now")
  .action((database: string) => runInCloud(`backup-${database}`, ["backup"]))
program
  .command("list [database]")
  .description("list the backups")
  .action((database?: string) =>
    runInCloud("verify", ["list", ...(database === undefined ? [] : [database])]),
  )
program
  .command("verify <database> [backup]")
  .description("read a backup again and hold it against its manifest")
  .action((database: string, backup = "latest") =>
    runInCloud("verify", ["verify", backup, "--database", database]),
  )
program
  .command("restore <database> [options...]")
  .description(
    "restore a database; options are those of `pgstow restore`, --yes among them where something is there already",
  )
  .requiredOption("--into <name>", "the database to restore into: a new one unless it exists")
  .option("--backup <backup>", "latest, an id, or the beginning of one", "latest")
  .option("--server <name>", 'the entry with "all": true that the database belongs to')
  .allowUnknownOption()
  .action(
    (
      database: string,
      more: string[],
      { into, backup, server }: { into: string; backup: string; server?: string },
    ) =>
      runInCloud(`restore-${server ?? database}`, [
        "restore",
        "--backup",
        backup,
        "--database",
        database,
        "--into",
        into,
        ...more,
      ]),
  )
program
  .command("drill <database>")
  .description("test a backup by a restore into a server that is thrown away")
  .option("--backup <backup>", "latest, an id, or the beginning of one", "latest")
  .option("--server <name>", 'the entry with "all": true that the database belongs to')
  .action((database: string, { backup, server }: { backup: string; server?: string }) =>
    runInCloud(`drill-${server ?? database}`, ["drill", backup, "--database", database]),
  )
program
  .command("refresh <database>")
  .description("restore the newest backup into the database's staging server, as its schedule does")
  .action((database: string) => runInCloud(`refresh-${database}`))
program
  .command("logs <task>")
  .description(
    "follow the newest task of a kind: backup-DATABASE, restore-DATABASE, drill-DATABASE, refresh-DATABASE or verify",
  )
  .action(async (kind: string) => {
    const place = await placeOfStack()
    process.exitCode = await followTask(
      { ecs, logs },
      place.cluster,
      await newestTask(place, family(place, kind)),
    )
  })

try {
  await program.parseAsync()
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`)
  if (error instanceof PgstowError && error.hint !== undefined) process.stderr.write(`${error.hint}\n`)
  process.exitCode = error instanceof PgstowError ? error.exitCode : 1
}

function family({ name }: Place, kind: string): string {
  return `${name}-${kind}`
}

async function runInCloud(kind: string, command?: readonly string[]): Promise<void> {
  const place = await placeOfStack()
  if (!place.restores && /^(restore|drill|refresh)-/.test(kind))
    throw new PgstowError(
      "usage",
      "there is no private key in AWS, so nothing can be restored or drilled there",
      {
        hint: "Do it on a machine that has the key: `npx pgstow restore --storage s3://BUCKET --identity FILE`, or `drill`.",
      },
    )
  const signal = new AbortController().signal
  // Nobody starts a restore again when Spot takes its machine.
  const spot = place.spot && !/^(restore|drill|refresh)-/.test(kind)
  const taskArn = await runTask(
    ecs,
    { ...place, spot },
    { family: family(place, kind), ...(command === undefined ? {} : { command }) },
    signal,
  )
  process.stderr.write(`started ${taskArn}; it goes on without this terminal\n`)
  process.exitCode = await followTask({ ecs, logs }, place.cluster, taskArn)
}

/** Where the stack says that tasks run. */
async function placeOfStack(): Promise<Place> {
  const { stack: StackName, name } = program.opts<{ stack: string; name?: string }>()
  const { Stacks } = await cloudFormation
    .send(new DescribeStacksCommand({ StackName }))
    .catch((cause: unknown) => {
      throw new PgstowError("unexpected", `the stack ${StackName} can't be read`, {
        cause,
        hint: "Set AWS_PROFILE and AWS_REGION as for `cdk deploy`, and name the stack by --stack.",
      })
    })
  const places = (Stacks?.[0]?.Outputs ?? [])
    .filter(({ OutputKey }) => OutputKey?.endsWith("Place"))
    .map(({ OutputValue }) => placeSchema.parse(JSON.parse(OutputValue ?? "")))
    .filter((place) => name === undefined || place.name === name)
  const [place, another] = places
  if (place === undefined)
    throw new PgstowError(
      "unexpected",
      `the stack ${StackName} holds no pgstow${name ? ` called ${name}` : ""}`,
      {
        hint: "Name the stack by --stack.",
      },
    )
  if (another !== undefined)
    throw new PgstowError("usage", `the stack ${StackName} holds several`, {
      hint: `Choose by --name: ${places.map((one) => one.name).join(", ")}.`,
    })
  return place
}

async function newestTask({ cluster }: TaskPlace, family: string): Promise<string> {
  for (const desiredStatus of ["RUNNING", "STOPPED"] as const) {
    const { taskArns } = await ecs.send(new ListTasksCommand({ cluster, family, desiredStatus }))
    const tasks = taskArns?.length ? await describe(cluster, taskArns) : []
    const newest = tasks.toSorted((a, b) => (b.createdAt?.getTime() ?? 0) - (a.createdAt?.getTime() ?? 0))[0]
    if (newest?.taskArn !== undefined) return newest.taskArn
  }
  throw new PgstowError("notFound", `no task of ${family} ran within the last hour`, {
    hint: "CloudWatch Logs keeps what older ones said, in the stack's log group.",
  })
}

async function describe(cluster: string, tasks: readonly string[]): Promise<Task[]> {
  return (await ecs.send(new DescribeTasksCommand({ cluster, tasks: [...tasks] }))).tasks ?? []
}
