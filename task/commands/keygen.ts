import * as z from "zod"
import { PgstowError } from "../errors.ts"
import { keygen, signingKeygen } from "../keys/keygen.ts"
import { defineCommand, type OptionGroup } from "./command.ts"

const defaultFile = "pgstow.key"
const defaultSigningFile = "pgstow-signing.key"

const keygenOptions: OptionGroup = (command) =>
  command
    .option(
      "--out <file>",
      `where the key goes (default ${defaultFile}; with --signing ${defaultSigningFile})`,
    )
    .option(
      "--hybrid",
      "make a key that quantum computers can't break either (post-quantum); other tools need age 1.3 to open its backups",
    )
    .option("--signing", "make a key that signs backups in place of an identity, and print its public half")

export const keygenCommand = defineCommand({
  name: "keygen",
  summary: "make an age identity, or a signing key, and print its public half",
  group: "Set up:",
  options: [keygenOptions],
  flags: z.object({
    out: z.string().optional(),
    hybrid: z.boolean().default(false),
    signing: z.boolean().default(false),
  }),
  examples: [
    "pgstow keygen --out /root/pgstow.key",
    "pgstow keygen --hybrid --out /root/pgstow.key",
    "pgstow keygen --signing --out /root/pgstow-signing.key",
  ],
  async run({ flags: { out, hybrid, signing } }, context) {
    if (signing && hybrid)
      throw new PgstowError("usage", "--hybrid and --signing contradict each other", {
        hint: "Make the two keys one after the other: signing keys are of one kind.",
      })
    if (signing) {
      const result = await signingKeygen({ out: out ?? defaultSigningFile }, context)
      context.log.info(
        `the signing key is in ${result.signingKeyFile}: give it to backup by --signing-key, and what is printed to restore by --signed-by`,
      )
      return { title: "made a signing key", result, text: result.signer, isAnswer: true }
    }
    const result = await keygen({ out: out ?? defaultFile, hybrid }, context)
    context.log.info(
      `the identity is in ${result.identityFile}: without it no backup can be opened, so keep a copy elsewhere`,
    )
    return { title: "made an identity", result, text: result.recipient, isAnswer: true }
  },
})
