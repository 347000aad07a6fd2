import { expect, test } from "vitest"
import { openTerminal } from "../../task/console/terminal.ts"

function written(isTTY: boolean): string[] {
  const texts: string[] = []
  const output = { isTTY, columns: 20, write: (text: string) => texts.push(text) }
  openTerminal(output, { TERM: "xterm" }).line("a line that is longer than twenty columns", "red")
  return texts
}

test("a person gets a long line wrapped at words, each in its colour", () => {
  expect(written(true)).toEqual([
    "\x1b[31ma line that is\x1b[0m\n",
    "\x1b[31m  longer than twenty\x1b[0m\n",
    "\x1b[31m  columns\x1b[0m\n",
  ])
})

test("anything else gets it as one line", () => {
  expect(written(false)).toEqual(["a line that is longer than twenty columns\n"])
})
