import * as z from "zod"
import { exitCodes, type FailureKind } from "../errors.ts"
import { exitMeanings } from "../help/exit-meanings.ts"
import { manPage } from "../help/man-page.ts"
import { defineCommand } from "./command.ts"

export const manCommand = defineCommand({
  name: "man",
  summary: "print the manual page, for man",
  group: "Set up:",
  options: [],
  anywhere: true,
  flags: z.object({}),
  examples: ["pgstow man | man -l -", "pgstow man > /usr/local/share/man/man1/pgstow.1"],
  async run({ shape }, { now }) {
    // Object.entries forgets what the keys are.
    const codes = (Object.entries(exitCodes) as [FailureKind, number][]).map(([kind, code]) => ({
      code,
      meaning: exitMeanings[kind],
    }))
    const text = manPage(shape(), {
      day: now().toISOString().slice(0, 10),
      exitCodes: [{ code: 0, meaning: "All is well." }, ...codes],
    }).trimEnd()
    return { title: "made the manual page", result: { page: text }, text, isAnswer: true }
  },
})
