import * as z from "zod"
import { formatRelationName } from "../archive/relation-name.ts"
import { type ShowResult, show } from "../catalog/show.ts"
import {
  ageInWords,
  formatBytes,
  formatCount,
  formatDuration,
  formatName,
  formatTable,
  formatTime,
  wrapText,
} from "../console/format.ts"
import type { Check } from "../core/check.ts"
import { formatProblem } from "../core/check.ts"
import { type Manifest, type ManifestObject, partialInWords } from "../core/manifest.ts"
import { shownRecipient } from "../core/shown-recipient.ts"
import { choiceFlags, choiceOf, signedByOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand } from "./command.ts"
import { comparisonInWords } from "./comparison-in-words.ts"
import { drillInWords } from "./drill-in-words.ts"
import { choiceOptions, signerOptions, storageOptions } from "./options.ts"
import { paintStates, stateInWords } from "./state-in-words.ts"

export const showCommand = defineCommand({
  name: "show",
  summary: "show one backup: what it holds, and what checks found",
  group: "Look:",
  argument: { syntax: "[backup]", description: "latest, an id, or the beginning of one" },
  config: { runs: "one", args: "backups" },
  options: [
    storageOptions,
    signerOptions,
    choiceOptions,
    (command) => command.option("--long", "with the SHA-256 of every object"),
  ],
  flags: choiceFlags.extend({ long: z.boolean().default(false) }),
  examples: ["pgstow show latest", "pgstow show 20260102T03 --database orders"],
  async run({ settings, args, flags, width }, context) {
    const choice = { ...choiceOf(args, flags), signedBy: signedByOf(settings) }
    const result = await show(storagesOf(settings, context), choice, context)
    return {
      title: `showed ${result.manifest.id}`,
      result,
      text: formatShow(result, { long: flags.long, width, now: context.now() }),
      paint: paintStates,
      isAnswer: true,
    }
  },
})

export function formatShow(
  result: ShowResult,
  {
    long = false,
    width = Number.POSITIVE_INFINITY,
    now,
  }: { readonly long?: boolean; readonly width?: number; readonly now?: Date } = {},
): string {
  const { storage, manifest, checks, passedOver } = result
  const { source, importedFrom, snapshot, compression, encryption } = manifest
  const seconds = (Date.parse(manifest.finishedAt) - Date.parse(manifest.startedAt)) / 1000
  const facts: [string, string][] = [
    ["backup", manifest.id],
    ["database", formatName(manifest.database)],
    ["storage", storage],
    ["state", stateOf(result)],
    ...result.pins.map((pin): [string, string] => ["pinned", pinInWords(pin)]),
    ["partial", formatName(partialInWords(manifest) ?? "")],
    [
      "no rows of",
      (manifest.partial?.withoutRows ?? [])
        .map(({ schema, table }) => formatName(formatRelationName({ schema, name: table })))
        .join(", "),
    ],
    ["started", startedInWords(manifest.startedAt, now)],
    ["took", formatDuration(seconds)],
    ["stored", `${formatBytes(result.storedBytes)} of ${formatBytes(result.rawBytes)} raw`],
    ["compared", (result.comparison ? comparisonInWords(result.comparison) : []).join("; ")],
    [
      "snapshot",
      `${formatTime(new Date(snapshot.time))}${snapshot.lsn === null ? "" : `, LSN ${snapshot.lsn}`}`,
    ],
    ["source", sourceInWords(source)],
    ["imported", importedFrom ? `from ${formatName(importedFrom.file)} of ${importedFrom.system}` : ""],
    ["locale", localeInWords(source)],
    ["settings", source.settings.map(formatName).join(", ")],
    ["extensions", source.extensions.map(({ name, version }) => `${formatName(name)} ${version}`).join(", ")],
    ["roles", source.roles.map(formatName).join(", ")],
    ["client", source.clientVersion],
    ["compression", `${compression.algorithm}, level ${compression.level}`],
    [
      "encryption",
      encryption.algorithm === "none"
        ? "none"
        : `${encryption.algorithm}, for ${encryption.recipients.map(shownRecipient).join(" ")}`,
    ],
    ["signature", signatureInWords(result)],
    ["written by", manifest.writtenBy],
  ]
  const nameWidth = Math.max(...facts.map(([name]) => name.length))
  const objects = formatTable(
    [
      { title: "OBJECT" },
      { title: "STORED", flush: "right" },
      { title: "RAW", flush: "right" },
      ...(long ? [{ title: "SHA-256" }] : []),
      { title: "SEGMENT" },
    ],
    manifest.objects.map((object) => [
      object.name,
      formatBytes(object.sizeBytes),
      formatBytes(object.rawBytes),
      ...(long ? [object.sha256] : []),
      segmentInWords(object),
    ]),
    width,
  )
  return [
    ...facts
      .filter(([, value]) => value !== "")
      .flatMap(([name, value]) =>
        wrapText(formatName(`${name.padEnd(nameWidth)}  ${value}`), width, " ".repeat(nameWidth + 2)),
      ),
    ...(passedOver.length > 0
      ? [`${"not shown".padEnd(nameWidth)}  newer, but damaged: ${passedOver.join(", ")}`]
      : []),
    "",
    objects,
    ...(checks.length > 0 ? ["", ...checks.flatMap(checkInWords)] : []),
  ].join("\n")
}

function stateOf({ manifest, pins, ...found }: ShowResult): string {
  return stateInWords({
    ...found,
    isReadable: true,
    pinned: pins.length > 0,
    partial: partialInWords(manifest) ?? null,
    encrypted: manifest.encryption.algorithm !== "none",
  })
}

function pinInWords({ at, by, reason }: ShowResult["pins"][number]): string {
  return `${formatTime(new Date(at))}${by === null ? "" : ` by ${by}`}: ${reason ?? "its reason can't be read"}`
}

function startedInWords(startedAt: string, now: Date | undefined): string {
  const hours = now === undefined ? -1 : (now.getTime() - Date.parse(startedAt)) / 3_600_000
  const time = formatTime(new Date(startedAt))
  return hours < 0 ? time : `${time}, ${ageInWords(hours)} ago`
}

function signatureInWords({ signer, trusted }: ShowResult): string {
  if (signer === null) return ""
  return trusted ? `by ${signer}` : `by ${signer}, not checked: --signed-by does that`
}

function segmentInWords(object: ManifestObject): string {
  if (object.kind !== "segment") return ""
  const name = formatRelationName({ schema: object.schema, name: object.table })
  return `${formatCount(object.rows, "row")} of ${formatName(name)}`
}

function sourceInWords({ database, serverVersion, sizeBytes, tables }: Manifest["source"]): string {
  return `${formatName(database)} on PostgreSQL ${serverVersion}, ${formatBytes(sizeBytes)}, ${formatCount(tables, "table")}`
}

function localeInWords({ encoding, localeProvider, collate, ctype, locale }: Manifest["source"]): string {
  if (localeProvider === "") return encoding
  const libc = collate === ctype ? collate : `${collate} (ctype ${ctype})`
  return `${encoding}, ${localeProvider}, ${locale ?? libc}`
}

function checkInWords({ kind, at, by, problems, drill }: Check): string[] {
  return [
    `${kind} ${formatTime(new Date(at))} by ${by}`,
    ...(drill ? drillInWords(drill).map((line) => `  ${line}`) : []),
    ...problems.map((problem) => `  ${formatProblem(problem)}`),
  ].map(formatName)
}
