import { describe, expect, test } from "vitest"
import { type Scene, setScene } from "../support/scene.ts"
import { runOnTerminal, type Typed } from "../support/terminal.ts"

const words = "Type yes to go on: "

/** Asks on a terminal whether the only backup may go, and gives how that ended. */
async function ask(scene: Scene, typed?: Typed) {
  const id = String(Object(await scene.json(["backup", "--no-verify"])).id)
  const asked = await runOnTerminal(scene, ["remove", id, "--force"], {}, typed ? { typed } : {})
  const { stdout } = await scene.run(["list"])
  return { ...asked, isThere: stdout.includes(id) }
}

describe("a question", () => {
  test("is answered by what is typed", async () => {
    const scene = await setScene()
    expect(await ask(scene, { after: words, keys: "yes\r" })).toMatchObject({ exitCode: 0, isThere: false })
    expect(await ask(scene, { after: words, keys: "no\r" })).toMatchObject({ exitCode: 10, isThere: true })
  })

  test.each([
    ["at its end from the start", undefined],
    ["ended by Ctrl-D", { after: words, keys: "\u0004" }],
  ])("is answered with no by input %s", async (_, typed) => {
    const scene = await setScene()
    const { exitCode, screen, isThere } = await ask(scene, typed)
    expect(screen).toMatch(
      /Type yes to go on: .*\r?\n.*error: the answer was not yes, so this was not removed: /,
    )
    expect({ exitCode, isThere }).toEqual({ exitCode: 10, isThere: true })
  })

  test("ends by Ctrl-C as anything else does", async () => {
    const scene = await setScene()
    const { exitCode, screen, isThere } = await ask(scene, { after: words, keys: "\u0003" })
    expect(screen).toContain("error: stopped by SIGINT")
    expect({ exitCode, isThere }).toEqual({ exitCode: 130, isThere: true })
  })
})

test("remove says in its question and its result which backup it is, however it was named", async () => {
  const scene = await setScene()
  const id = String(Object(await scene.json(["backup", "--no-verify"])).id)
  const { screen } = await runOnTerminal(
    scene,
    ["remove", id.slice(0, 11), "--force"],
    {},
    {
      typed: { after: words, keys: "yes\r" },
    },
  )
  const which = `${id} of ${scene.database}`
  expect(screen).toMatch(
    new RegExp(`${which}, \\d.* s old, \\d.* (?:Ki)?B: it is removed for good from\r?\n`),
  )
  expect(screen).toMatch(new RegExp(`removed ${which} from file:.*: \\d.* s old, \\d.* (?:Ki)?B`))
})
