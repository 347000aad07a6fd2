import { describe, expect, test } from "vitest"
import { discordBody } from "../../task/notify/discord.ts"
import { messageFor, plainText } from "../../task/notify/message.ts"
import { slackBody } from "../../task/notify/slack.ts"
import { teamsBody } from "../../task/notify/teams.ts"
import { webhookBody } from "../../task/notify/webhook.ts"
import { failed, succeeded } from "./events.ts"

test("a good backup is told with its size against the last one, its time and its rate", () => {
  expect(plainText(messageFor(succeeded))).toBe(
    `Backup of orders succeeded
203 MiB stored in 1 min 35 s.

Database: orders
Backup: 20260102T030000Z-k3v9x2ab
Stored: 203 MiB (3 % more than last time)
Before compression: 812 MiB
Took: 1 min 35 s (8.5 MiB/s)
Storages: file:///var/backups, s3://bucket/pgstow`,
  )
})

test("a message says which machine tells it, and of which server", () => {
  const origin = { machine: "db-1\n", server: "on db.example.com:5432" }
  expect(messageFor({ ...failed, ...origin }).fields).toEqual([
    { name: "Database", value: "orders" },
    { name: "Server", value: "on db.example.com:5432" },
    { name: "Machine", value: "db-1\\n" },
  ])
})

test.each([
  [0, "203 MiB"],
  [213_000_001, "203 MiB (as much as last time)"],
  [426_000_000, "203 MiB (50 % less than last time)"],
])("against a last size of %i: %s", (lastStoredBytes, value) => {
  expect(messageFor({ ...succeeded, lastStoredBytes }).fields).toContainEqual({ name: "Stored", value })
})

test("what is usual stands beside what it took, and how its rows changed", () => {
  const usual = { backups: 5, storedBytes: 1, rawBytes: 1, seconds: 61, bytesPerSecond: 1 }
  const { fields } = messageFor({ ...succeeded, usual, rows: { before: 1_000_000, after: 1_210_000 } })
  expect(fields).toContainEqual({ name: "Took", value: "1 min 35 s (8.5 MiB/s), usually 1 min 1 s" })
  expect(fields).toContainEqual({ name: "Rows", value: "about 1,210,000 (+21 %)" })
})

test("a backup with warnings is told as one to look at", () => {
  const warned = messageFor({ ...succeeded, warnings: ["It shrank by half."] })
  expect(warned).toMatchObject({ outcome: "warning", title: "Backup of orders succeeded, with warnings" })
  expect(plainText(warned)).toContain("It shrank by half.")
  expect(plainText(warned)).toContain("Next step: Look at it with `pgstow show 20260102T030000Z-k3v9x2ab`")
})

test("a failure is told with pg_dump's own last words and the next step", () => {
  expect(plainText(messageFor(failed))).toBe(
    `Backup of orders failed
pg_dump exited with 1

Database: orders

pg_dump: error: query failed: ERROR:  permission denied for table invoices
pg_dump: detail: Query was: LOCK TABLE public.invoices IN ACCESS SHARE MODE

Next step: Grant the role SELECT on the table.`,
  )
})

describe("a message in the form of", () => {
  const message = messageFor(failed)

  test("Slack: a header, a text, fields, the program's words, the next step", () => {
    expect(slackBody(message)).toEqual({
      text: `❌ ${plainText(message)}`,
      blocks: [
        { type: "header", text: { type: "plain_text", text: "❌ Backup of orders failed", emoji: true } },
        { type: "section", text: { type: "mrkdwn", text: "pg_dump exited with 1" } },
        { type: "section", fields: [{ type: "mrkdwn", text: "*Database*\norders" }] },
        { type: "section", text: { type: "mrkdwn", text: `\`\`\`${failed.output.join("\n")}\`\`\`` } },
        {
          type: "section",
          text: { type: "mrkdwn", text: "*Next step:* Grant the role SELECT on the table." },
        },
      ],
    })
  })

  test("Discord: one embed in the colour of a failure, that mentions nobody", () => {
    expect(discordBody(message)).toEqual({
      username: "pgstow",
      allowed_mentions: { parse: [] },
      embeds: [
        {
          title: "❌ Backup of orders failed",
          description: `pg\\_dump exited with 1\n\`\`\`\n${failed.output.join("\n")}\n\`\`\`\n**Next step:** Grant the role SELECT on the table.`,
          color: 0xcf_22_2e,
          fields: [{ name: "Database", value: "orders", inline: true }],
        },
      ],
    })
  })

  test("Teams: an adaptive card", () => {
    expect(teamsBody(message)).toMatchObject({
      type: "message",
      attachments: [
        {
          contentType: "application/vnd.microsoft.card.adaptive",
          content: {
            type: "AdaptiveCard",
            body: [
              { type: "TextBlock", text: "❌ Backup of orders failed", color: "Attention" },
              { type: "TextBlock", text: "pg\\_dump exited with 1" },
              { type: "FactSet", facts: [{ title: "Database", value: "orders" }] },
              { type: "TextBlock", fontType: "Monospace", text: failed.output.join("\n\n") },
              { type: "TextBlock", text: "**Next step:** Grant the role SELECT on the table." },
            ],
          },
        },
      ],
    })
  })

  test("anything else: the event as it is, and the text", () => {
    const { type, database, error, hint, output } = failed
    expect(webhookBody(message, failed)).toEqual({
      source: "pgstow",
      outcome: "failure",
      title: "Backup of orders failed",
      text: plainText(message),
      type,
      database,
      error,
      hint,
      output,
    })
  })
})

test("names that mean something to a channel mean nothing there", () => {
  const message = messageFor({ ...failed, database: "<!channel> & [a](b) @everyone", output: ["``` out"] })
  expect(JSON.stringify(slackBody(message))).toContain("&lt;!channel&gt; &amp; [a](b)")
  expect(JSON.stringify(slackBody(message))).not.toContain('<!channel>"')
  expect(JSON.stringify(discordBody(message))).toContain("\\\\[a\\\\](b)")
  expect(JSON.stringify(discordBody(message))).toContain("''' out")
  expect(JSON.stringify(teamsBody(message))).toContain("\\\\[a\\\\](b)")
})

test("a message longer than a channel takes is cut to what it takes", () => {
  const long = "𝕏".repeat(5000)
  const message = messageFor({
    ...succeeded,
    database: long,
    id: long,
    storages: [long],
    warnings: [long],
  })
  const failure = messageFor({
    ...failed,
    database: long,
    error: long,
    hint: long,
    output: Array.from({ length: 500 }, () => long.slice(0, 100)),
  })
  for (const each of [message, failure]) {
    // These are the shapes that the tests above hold the bodies to.
    const { blocks } = slackBody(each) as {
      blocks: { text?: { text: string }; fields?: { text: string }[] }[]
    }
    expect(blocks[0]?.text?.text.length).toBeLessThanOrEqual(150)
    for (const block of blocks) expect(block.text?.text.length ?? 0).toBeLessThanOrEqual(3000)
    for (const field of blocks.flatMap(({ fields = [] }) => fields))
      expect(field.text.length).toBeLessThanOrEqual(2000)

    const {
      embeds: [embed],
    } = discordBody(each) as {
      embeds: [{ title: string; description: string; fields: { name: string; value: string }[] }]
    }
    expect(embed.title.length).toBeLessThanOrEqual(256)
    expect(embed.description.length).toBeLessThanOrEqual(4096)
    for (const { value } of embed.fields) expect(value.length).toBeLessThanOrEqual(1024)
    const all = [embed.title, embed.description, ...embed.fields.flatMap(({ name, value }) => [name, value])]
    expect(all.join("").length).toBeLessThanOrEqual(6000)

    expect(JSON.stringify(teamsBody(each)).length).toBeLessThan(28_000)
    for (const body of [slackBody(each), discordBody(each), teamsBody(each)])
      expect(JSON.stringify(body), "no half of a character").not.toMatch(/\\ud[89a-f]/)
  }
})

test("a link to a report is one in every channel, however long its URL is", () => {
  const url = `https://backups.s3.amazonaws.com/report.html?X-Amz-Security-Token=${"a".repeat(1800)}&b=(1)`
  const message = messageFor({ ...succeeded, report: url })
  expect(plainText(message)).toContain(`\nReport: ${url}`)
  expect(JSON.stringify(slackBody(message))).toContain(`<${url.replaceAll("&", "&amp;")}|Report>`)
  expect(JSON.stringify(discordBody(message))).toContain(`[Report](${url.replace(")", "%29")})`)
  expect(teamsBody(message)).toMatchObject({
    attachments: [{ content: { actions: [{ type: "Action.OpenUrl", title: "Report", url }] } }],
  })
  expect(webhookBody(message, { ...succeeded, report: url })).toMatchObject({ report: url })
})
