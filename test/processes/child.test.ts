import { expect, it } from "vitest"
import { startChild } from "../../task/processes/child.ts"
import { rejectionOf } from "../support/failure.ts"

const shell = (script: string) => ({ file: "/bin/sh", args: ["-c", script], env: {} })

it("a program's last words are its last lines, those that overwrite each other among them", async () => {
  const lines: string[] = []
  const child = startChild(shell(String.raw`printf '10%%\r20%%\r30%%\rdisk full\n' >&2; exit 3`), {
    onStderr: (line) => lines.push(line),
  })
  expect(await rejectionOf(child.ended)).toMatchObject({
    message: "sh exited with 3: 20%; 30%; disk full",
    exitStatus: 3,
  })
  expect(lines).toEqual(["10%", "20%", "30%", "disk full"])
})
