import { once } from "node:events"
import { expect, it } from "vitest"
import { endChildren, startChild } from "../../task/processes/child.ts"
import { rejectionOf } from "../support/failure.ts"
import { isRunning } from "../support/processes.ts"

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

it("a program that is stopped is let go, though one that it started holds its output open", async () => {
  const child = startChild(shell("sleep 60 & echo $!; exec sleep 60"), { stdout: "pipe" })
  await once(child.stdout, "readable")
  const pid = Number(child.stdout.read())
  try {
    child.stop()
    expect(await rejectionOf(child.ended)).toMatchObject({ message: "sh was ended by SIGTERM" })
    expect(isRunning(pid)).toBe(true)
  } finally {
    process.kill(pid)
  }
})

it("whatever still runs is ended at the end", async () => {
  const children = [startChild(shell("exec sleep 60")), startChild(shell("trap '' INT; exec sleep 60"))]
  await endChildren()
  for (const { pid } of children) expect(isRunning(pid)).toBe(false)
})
