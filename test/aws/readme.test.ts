import { readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import * as z from "zod"
import { compareDatabases } from "../support/compare-databases.ts"
import { type Cloud, startCloud } from "./cloud.ts"

const root = resolve(import.meta.dirname, "../..")
const readme = readFileSync(join(root, "infra/README.md"), "utf8")
/** A program that does nothing: the emulator has the program already, whatever the image is called. */
const noDocker = join(import.meta.dirname, "no-docker")

let cloud: Cloud

beforeAll(async () => {
  cloud = await startCloud()
}, 900_000)
afterAll(() => cloud?.stop(), 60_000)

/** The first block of shell commands after this text. */
function commandsAfter(text: string): string {
  const start = readme.indexOf(text)
  if (start === -1) throw new Error(`the README does not say "${text}"`)
  const [, commands = ""] = /```sh\n(.*?)```/s.exec(readme.slice(start)) ?? []
  return commands.trim()
}

async function mustRun(command: string): Promise<string> {
  const { exitCode, stdout, stderr } = await cloud.shell(command)
  if (exitCode !== 0) throw new Error(`${command} exited with ${exitCode}: ${stderr}\n${stdout}`)
  return stdout
}

it("the README's deployment, word by word, backs a database up and brings it back", async () => {
  const { server } = cloud
  await server.psql("CREATE TABLE sold (id int); INSERT INTO sold SELECT generate_series(1, 1000)", "orders")
  await cloud.aws(
    "secretsmanager",
    "delete-secret",
    "--secret-id",
    "pgstow/orders",
    "--force-delete-without-recovery",
  )

  const lines = commandsAfter("## Deploy").split("\n")
  expect(lines).toHaveLength(6)
  const user = `export DATABASE_URL='${server.url("orders")}' CDK_DOCKER=${noDocker} CDK_OUTPUT=$HOME/cdk.out`
  for (const line of lines) {
    const { exitCode, stdout, stderr } = await cloud.shell(
      `${user}; ${line} ${/cdk deploy/.test(line) ? "--require-approval never" : ""}`,
    )
    if (exitCode !== 0) throw new Error(`${line} exited with ${exitCode}: ${stderr}\n${stdout}`)
    if (/cdk deploy/.test(line)) await cloud.mendSecrets()
  }
  expect(await compareDatabases({ server, name: "orders" }, { server, name: "orders_restored" })).toEqual([])
}, 900_000)

it("then prints the key, and the runbook puts another one before it: a restore finds the old one", async () => {
  const { server } = cloud
  const printKey = commandsAfter("Then keep a copy of the key")
  const key = (await mustRun(printKey)).trim()
  expect(key).toContain("AGE-SECRET-KEY-1")

  const id = (await mustRun(/\$\((aws cloudformation .*?)\)/s.exec(printKey)?.[1] ?? "false")).trim()
  const [umask = "", keygen = "", read = "", write = "", setting = "", deploy = ""] =
    commandsAfter("**Rotate the key.**").split("\n")
  expect(setting).toBe('# "keyVersion": 2 in the settings')
  // The emulator can't update a nested stack.
  expect(deploy).toBe("npx cdk deploy")
  const program = `${process.execPath} ${join(root, "task/main.ts")}`
  for (const line of [keygen.replace("npx pgstow", program), read, write])
    await mustRun(`cd $HOME && ${umask} && ${line.replace("--secret-id …", `--secret-id ${id}`)}`)
  const both = (await mustRun(printKey)).trim()
  expect(both.endsWith(key)).toBe(true)
  expect(both.match(/^AGE-SECRET-KEY-1/gm)).toHaveLength(2)

  await mustRun("npm run cloud -- restore orders --into orders_by_the_old_key")
  const restored = { server, name: "orders_by_the_old_key" }
  expect(await compareDatabases({ server, name: "orders" }, restored)).toEqual([])
}, 900_000)

it("the second bucket's template is deployed, and says what the settings ask for", async () => {
  const [deploy = "", outputs = ""] = commandsAfter("## A second bucket").split(/\n(?=aws )/)
  await mustRun(deploy)
  const stacks = await mustRun(`${outputs} --output json`)
  const keys = z.array(z.object({ OutputKey: z.string() })).parse(JSON.parse(stacks))
  expect(keys.map(({ OutputKey }) => OutputKey).sort()).toEqual(["bucketArn", "kmsKeyArn"])
}, 300_000)

it("so is that of the copies of an existing bucket, and its output is the rule that S3 is given", async () => {
  const kmsKeyArn = "arn:aws:kms:eu-central-1:000000000000:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
  const values = {
    Bucket: "existing",
    KmsKeyArn: kmsKeyArn,
    CopyBucketArn: "arn:aws:s3:::copies",
    CopyKmsKeyArn: kmsKeyArn.replace("key/0a", "key/1a"),
    AlarmTopic: "arn:aws:sns:eu-central-1:000000000000:Pgstow",
  }
  for (const bucket of ["existing", "copies"]) {
    const place = ["--create-bucket-configuration", "LocationConstraint=eu-central-1"]
    await cloud.aws("s3api", "create-bucket", "--bucket", bucket, ...place)
    const versioned = ["--versioning-configuration", "Status=Enabled"]
    await cloud.aws("s3api", "put-bucket-versioning", "--bucket", bucket, ...versioned)
  }
  const [deploy = "", replicate = ""] = commandsAfter("`copyTo` is refused beside").split(/\n(?=aws )/)
  const filled = Object.entries(values).reduce(
    (command, [name, value]) => command.replace(`${name}=…`, `${name}=${value}`),
    deploy,
  )
  expect(filled).not.toContain("…")
  await mustRun(filled)
  await mustRun(replicate.replace("--bucket …", "--bucket existing"))
  expect(await cloud.aws("s3api", "get-bucket-replication", "--bucket", "existing")).toMatchObject({
    ReplicationConfiguration: {
      Role: "arn:aws:iam::000000000000:role/Pgstow-copy-eu-central-1",
      Rules: [
        {
          ID: "copies",
          Status: "Enabled",
          DeleteMarkerReplication: { Status: "Enabled" },
          SourceSelectionCriteria: { SseKmsEncryptedObjects: { Status: "Enabled" } },
          Destination: {
            Bucket: values.CopyBucketArn,
            EncryptionConfiguration: { ReplicaKmsKeyID: values.CopyKmsKeyArn },
          },
        },
      ],
    },
  })
}, 300_000)
