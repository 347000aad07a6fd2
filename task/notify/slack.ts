import { type Message, plainText, signs } from "./message.ts"
import { lastLines, shorten } from "./shorten.ts"

/**
 * The body of a Slack incoming webhook: blocks, and a text for where blocks are not shown. Sizes:
 * docs.slack.dev/reference/block-kit/blocks (header 150 characters, section 3,000, field 2,000, 10 fields).
 */
export function slackBody(message: Message): unknown {
  const { outcome, title, text, fields, output, nextStep, link } = message
  const section = (markdown: string) => ({ type: "section", text: { type: "mrkdwn", text: markdown } })
  const blocks = [
    {
      type: "header",
      text: { type: "plain_text", text: shorten(`${signs[outcome]} ${title}`, 150), emoji: true },
    },
    ...(text === "" ? [] : [section(literal(shorten(text, 1500)))]),
    {
      type: "section",
      fields: fields
        .slice(0, 10)
        .map(({ name, value }) => ({ type: "mrkdwn", text: `*${name}*\n${literal(shorten(value, 400))}` })),
    },
    ...(output.length > 0 ? [section(`\`\`\`${literal(lastLines(output, 1000))}\`\`\``)] : []),
    ...(link === undefined ? [] : [section(`<${literal(link.url)}|${literal(link.title)}>`)]),
    ...(nextStep === undefined ? [] : [section(`*Next step:* ${literal(shorten(nextStep, 1000))}`)]),
  ]
  return { text: literal(shorten(`${signs[outcome]} ${plainText(message)}`, 2000)), blocks }
}

/** Slack reads these as links and mentions: a database may be called <!channel>. */
function literal(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
}
