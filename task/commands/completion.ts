import * as z from "zod"
import { completeBash } from "../help/complete-bash.ts"
import { completeFish } from "../help/complete-fish.ts"
import { completeZsh } from "../help/complete-zsh.ts"
import { defineCommand } from "./command.ts"

const shells = { bash: completeBash, zsh: completeZsh, fish: completeFish }

export const completionCommand = defineCommand({
  name: "completion",
  summary: "print what makes a shell complete commands and options",
  group: "Set up:",
  argument: { syntax: "<shell>", description: "which shell", choices: Object.keys(shells) },
  options: [],
  anywhere: true,
  flags: z.object({}),
  examples: [
    "source <(pgstow completion bash)",
    "source <(pgstow completion zsh)",
    "pgstow completion fish > ~/.config/fish/completions/pgstow.fish",
  ],
  async run({ args: [shell = ""], shape }) {
    // The choices let no other through.
    const text = shells[shell as keyof typeof shells](shape()).trimEnd()
    return {
      title: `made the completion for ${shell}`,
      result: { shell, script: text },
      text,
      isAnswer: true,
    }
  },
})
