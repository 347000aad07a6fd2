import * as z from "zod"
import { keygen } from "../keys/keygen.ts"
import { defineCommand } from "./command.ts"

export const keygenCommand = defineCommand({
  name: "keygen",
  summary: "make an age identity, and print its recipient",
  group: "Set up:",
  options: [(command) => command.option("--out <file>", "where the identity goes", "pgstow.key")],
  flags: z.object({ out: z.string().default("pgstow.key") }),
  examples: ["pgstow keygen --out /root/pgstow.key"],
  async run({ flags: { out } }, context) {
    const result = await keygen({ out }, context)
    context.log.info(
      `the identity is in ${result.identityFile}: whoever loses it loses the backups, so keep a copy elsewhere`,
    )
    return { title: "made an identity", result, text: result.recipient, isAnswer: true }
  },
})
