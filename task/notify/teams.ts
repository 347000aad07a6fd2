import { type Message, signs } from "./message.ts"
import { lastLines, shorten } from "./shorten.ts"

const colours = { success: "Good", warning: "Warning", failure: "Attention" } as const

/** The body of a Microsoft Teams webhook, of a workflow or of a connector: an adaptive card (28 KB at most). */
export function teamsBody({ outcome, title, text, fields, output, nextStep, link }: Message): unknown {
  const block = (words: string, rest: object = {}) => ({
    type: "TextBlock",
    text: words,
    wrap: true,
    ...rest,
  })
  const card = {
    $schema: "http://adaptivecards.io/schemas/adaptive-card.json",
    type: "AdaptiveCard",
    version: "1.4",
    msteams: { width: "Full" },
    body: [
      block(literal(shorten(`${signs[outcome]} ${title}`, 300)), {
        size: "Large",
        weight: "Bolder",
        color: colours[outcome],
      }),
      ...(text === "" ? [] : [block(literal(shorten(text, 2000)))]),
      {
        type: "FactSet",
        facts: fields.map(({ name, value }) => ({ title: name, value: literal(shorten(value, 1000)) })),
      },
      ...(output.length > 0
        ? [block(lastLines(output, 3000).replaceAll("\n", "\n\n"), { fontType: "Monospace" })]
        : []),
      ...(nextStep === undefined ? [] : [block(`**Next step:** ${literal(shorten(nextStep, 1000))}`)]),
    ],
    ...(link === undefined
      ? {}
      : { actions: [{ type: "Action.OpenUrl", title: link.title, url: link.url }] }),
  }
  return {
    type: "message",
    attachments: [
      { contentType: "application/vnd.microsoft.card.adaptive", contentUrl: null, content: card },
    ],
  }
}

function literal(text: string): string {
  return text.replaceAll(/[\\*_[\]]/g, "\\$&")
}
