import * as z from "zod"
import { listFailure } from "../catalog/list.ts"
import { formatBytes, formatCount } from "../console/format.ts"
import { retentionPolicySchema } from "../core/retention.ts"
import { PgstowError } from "../errors.ts"
import { collect } from "../report/collect.ts"
import { makePage } from "../report/page.ts"
import { pageAssets } from "../report/page-assets.ts"
import { pageFile, writePage } from "../report/write-page.ts"
import { databaseChosen, databaseFlag, policyOf, signedByOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand, type OptionGroup } from "./command.ts"
import { databaseOption, keepOptions, signerOptions, storageOptions } from "./options.ts"

const reportOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Report:")
    .option("--out <file>", "write it here, in place of an older report (default: standard output)")
    .option(
      "--max-age-hours <hours>",
      "how old the newest verified backup may be (PGSTOW_MAX_AGE_HOURS; default 26)",
    )

const policyOptions: OptionGroup = (command) =>
  keepOptions(command.optionsGroup("Retention (to say what it keeps; nothing is removed):"))

export const reportCommand = defineCommand({
  name: "report",
  summary: "write an HTML page about what there is",
  group: "Look:",
  argument: { syntax: "[database]", description: "only about this one" },
  config: { runs: "one", args: "databases" },
  options: [storageOptions, signerOptions, databaseOption, policyOptions, reportOptions],
  flags: databaseFlag.extend({ out: z.string().optional() }),
  examples: ["pgstow report --out report.html", "pgstow report orders --json"],
  async run({ settings, args, flags, typed, stdout }, context) {
    const { out } = flags
    const asJson = typed.has("json")
    if (out === "")
      throw new PgstowError("usage", "--out is empty", { hint: "Give it the name of a file: report.html." })
    if (out === undefined && !asJson && stdout.isTTY)
      throw new PgstowError("usage", "a page is nothing for a terminal", {
        hint: "Give --out report.html, or send standard output into a file.",
      })
    const path = out === undefined ? undefined : await pageFile(out)
    const data = await collect(
      storagesOf(settings, context),
      {
        database: databaseChosen(args, flags),
        signedBy: signedByOf(settings),
        // Without any rule it says nothing.
        policy: retentionPolicySchema.safeParse(policyOf(settings)).data ?? null,
        maxAgeHours: settings.maxAgeHours,
      },
      context,
    )
    for (const { why } of data.empty) context.log.warn(why)
    const failure = listFailure(data)
    const title = "made a report"
    if (path === undefined && asJson) return { title, result: data, text: "", isAnswer: true, failure }
    const page = makePage(data, await pageAssets())
    if (path === undefined) {
      stdout.write(page)
      return { title, result: about(data.databases), text: "", isAnswer: true, isWritten: true, failure }
    }
    await writePage(path, page)
    const bytes = Buffer.byteLength(page)
    const { databases, backups } = about(data.databases)
    return {
      title: `wrote ${path}`,
      // All of it would be too much for a log.
      result: asJson ? { out: path, bytes, ...data } : { out: path, bytes, databases, backups },
      text: `wrote ${path}: ${formatCount(backups, "backup")} of ${formatCount(databases, "database")}, ${formatBytes(bytes)}`,
      isAnswer: false,
      failure,
    }
  },
})

function about(databases: readonly { readonly backups: readonly unknown[] }[]) {
  return {
    databases: databases.length,
    backups: databases.reduce((sum, { backups }) => sum + backups.length, 0),
  }
}
