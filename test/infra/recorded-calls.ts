import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as z from "zod"
import { type Account, accountId, region } from "./account.ts"

/** What a role, or a service of AWS's, asked of AWS while the emulator's tests drove the stack. */
const callSchema = z.object({
  /** A role by its logical id without the hash, or a service by its name. */
  by: z.string(),
  action: z.string(),
  /** An ARN, in which resources of the stack are written as <LogicalId> or <LogicalId.Arn>, without the hash. */
  on: z.string(),
  context: z.record(z.string(), z.string()),
})
export type Call = z.output<typeof callSchema>

/** The settings of the stack that the emulator's tests drive, beside its webhook. */
export const drivenSettings = {
  databases: [
    {
      name: "orders",
      connection: { urlSecret: "pgstow/orders" },
      retention: { keepLast: 1 },
      staging: {
        connection: { urlSecret: "pgstow/orders" },
        into: "orders_staging",
        runFile: "test/fixtures/staging.sql",
      },
    },
    { name: "shop", connection: { rdsSecret: "pgstow/shop" }, schedule: "rate(1 minute)", drill: false },
    { name: "gone", connection: { urlSecret: "pgstow/gone" }, drill: false },
    { name: "lost", connection: { urlSecret: "pgstow/there-is-none" }, drill: false },
  ],
  notifications: { webhooks: [{ secret: "pgstow/webhook", level: "all" }] },
}

/** The recording that test/aws makes again on every run: `PGSTOW_RECORD=true npm run test:aws` writes it down. */
export const recording = join(import.meta.dirname, "recorded-calls.json")

export function readRecording(): Call[] {
  return z.array(callSchema).parse(JSON.parse(readFileSync(recording, "utf8")))
}

/**
 * What test/aws/emulator.py wrote, as a recording has it: sorted, each call once, and the same whatever the time and
 * the emulator's account.
 *
 * @param names the name that each resource got, by its logical id without the hash
 */
export function toRecording(lines: string, names: ReadonlyMap<string, string>): Call[] {
  // The longest first: a name may begin with another one.
  const placeholders = [...names]
    .map(([id, name]) => [name, name.startsWith("arn:") ? `<${id}.Arn>` : `<${id}>`] as const)
    .toSorted(([a], [b]) => b.length - a.length)
  const readable = (text: string) => {
    let shown = text
    for (const [name, placeholder] of placeholders) shown = shown.replaceAll(name, placeholder)
    return (
      shown
        .replace(/^arn:aws:s3:::(<\w+)>/, "$1.Arn>")
        .replace(/^arn:aws:secretsmanager:.*:(<\w+>)-\w{6}$/, "$1")
        // What a finding is called, Secrets Manager's own end of a secret's ARN, and what a backup is called.
        .replace(/\/checks\/.+\.json$/, "/checks/20260102T040000Z-verified-k3v9x2ab-after-none.json")
        .replace(/^(arn:aws:secretsmanager:.*:secret:pgstow\/[a-z-]+?)(-\w{6})?$/, "$1-AbCdEf")
        .replace(/\d{8}T\d{6}Z-[a-z0-9]{8}(?=\/|$)/, "20260102T030000Z-k3v9x2ab")
        .replaceAll("000000000000", accountId)
    )
  }
  const calls = new Map<string, Call>()
  for (const line of lines.trim().split("\n")) {
    const { by, action, on, context } = callSchema.parse(JSON.parse(line))
    // What a service can do is found out where it is not AWS.
    if (on.endsWith("/probe-if-none-match")) continue
    const call = {
      by: readable(by.replace(/^arn:.*\//, "")).replace(/^<(.*)>$/, "$1"),
      action,
      on: readable(on),
      context: Object.fromEntries(
        Object.entries(context).map(([key, value]) => [
          key,
          // A rule is known by its name there.
          key === "aws:SourceArn" ? readable(value).replace(/>$/, ".Arn>") : readable(value),
        ]),
      ),
    }
    calls.set(JSON.stringify(call), call)
  }
  return [...calls.keys()].toSorted().flatMap((key) => calls.get(key) ?? [])
}

/** Whether the account's policies allow all that a call takes, what a service does in the caller's name included. */
export async function allowsCall(account: Account, call: Call): Promise<boolean> {
  const by = /^[a-z0-9.]+\.amazonaws\.com$/.test(call.by)
    ? call.by
    : new RegExp(`^(Backup)?${call.by}[0-9A-F]{8}$`)
  const context = Object.fromEntries(
    Object.entries(call.context).map(([key, value]) => [key, account.named(value)]),
  )
  const asked = { action: call.action, on: account.named(call.on), context }
  for (const request of [asked, ...behind(account, asked)])
    if (!(await account.allows({ by, ...request }))) return false
  return true
}

/** What S3 asks of the key, and ECS of tags and of the roles that it hands over, in the name of who asked them. */
function behind(account: Account, { action, on, context }: { action: string; on: string; context: object }) {
  const useKey = (keyAction: string) => ({
    action: keyAction,
    on: account.named("<StorageKey.Arn>"),
    context: { "kms:ViaService": `s3.${region}.amazonaws.com` },
  })
  switch (action) {
    case "s3:GetObject":
      return [useKey("kms:Decrypt")]
    case "s3:PutObject":
      // A part, and the end of an upload in parts, take Decrypt too.
      return "s3:if-none-match" in context && !/main\.dump|globals/.test(on)
        ? [useKey("kms:GenerateDataKey")]
        : [useKey("kms:GenerateDataKey"), useKey("kms:Decrypt")]
    case "ecs:RunTask": {
      const [, family = ""] = /task-definition\/(.*?)(?::\d+)?$/.exec(on) ?? []
      return [
        // The task gets the tags of its definition.
        {
          action: "ecs:TagResource",
          on: `arn:aws:ecs:${region}:${accountId}:task/Pgstow/any`,
          context: { "ecs:CreateAction": "RunTask" },
        },
        ...account.rolesOfTask(family).map((role) => ({
          action: "iam:PassRole",
          on: role,
          context: { "iam:PassedToService": "ecs-tasks.amazonaws.com" },
        })),
      ]
    }
    default:
      return []
  }
}
