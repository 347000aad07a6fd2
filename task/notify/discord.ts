import { type Message, signs } from "./message.ts"
import { lastLines, shorten } from "./shorten.ts"

const colours = { success: 0x2e_a0_43, warning: 0xd2_99_22, failure: 0xcf_22_2e } as const

/**
 * The body of a Discord webhook: one embed. Sizes: discord.com/developers/docs/resources/message#embed-object
 * (title 256 characters, description 4,096, 25 fields of 256 and 1,024, 6,000 in all).
 */
export function discordBody({ outcome, title, text, fields, output, nextStep, link }: Message): unknown {
  const description = [
    literal(shorten(text, 1500)),
    ...(output.length > 0 ? [`\`\`\`\n${lastLines(output, 1000).replaceAll("```", "'''")}\n\`\`\``] : []),
    ...(nextStep === undefined ? [] : [`**Next step:** ${literal(shorten(nextStep, 600))}`]),
    // The URL of a link is no text: nothing in it is escaped, and a closing bracket would end it.
    ...(link === undefined ? [] : [`[${literal(link.title)}](${link.url.replaceAll(")", "%29")})`]),
  ]
  return {
    username: "pgstow",
    // Nothing that somebody put into a name rings everybody.
    allowed_mentions: { parse: [] },
    embeds: [
      {
        title: literal(shorten(`${signs[outcome]} ${title}`, 200)),
        description: description.join("\n"),
        color: colours[outcome],
        fields: fields.map(({ name, value }) => ({
          name,
          value: literal(shorten(value, 200)),
          inline: value.length < 40,
        })),
      },
    ],
  }
}

function literal(text: string): string {
  return text.replaceAll(/[\\*_~|>[\]]/g, "\\$&")
}
