import { expect } from "vitest"

// Without it `toMatchObject` takes any text for a match of a regular expression: that has no properties to differ in.
expect.addEqualityTesters([
  (found: unknown, expected: unknown) => {
    if (!(expected instanceof RegExp) || found instanceof RegExp) return undefined
    return typeof found === "string" && expected.test(found)
  },
])
