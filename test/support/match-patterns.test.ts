import { expect, test } from "vitest"

test("a regular expression in a wanted object stands for the texts that it matches, and no others", () => {
  expect({ error: "access denied", all: [{ found: "no file" }] }).toMatchObject({
    error: /denied$/,
    all: [{ found: /^no / }],
  })
  for (const found of ["access granted", "", undefined, null, 1, {}])
    expect(() => expect({ error: found }).toMatchObject({ error: /denied$/ })).toThrow("to match object")
  expect(() => expect(["a", "b"]).toMatchObject([/a/, /c/])).toThrow("to match object")
})
