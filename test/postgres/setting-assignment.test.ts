import { expect, test } from "vitest"
import { splitSetting } from "../../task/postgres/setting-assignment.ts"

test.each([
  ["work_mem", "9MB", ["9MB"]],
  ["datestyle", "ISO, MDY", ["ISO, MDY"]],
  ["constructor", "a, b", ["a, b"]],
  ["search_path", '"$user", public', ["$user", "public"]],
  ["search_path", '""', [""]],
  ["search_path", "", [""]],
  ["search_path", ' Foo ,\t"Foo",bar\n', ["foo", "Foo", "bar"]],
  ["search_path", '"a""b,\n""c""", "x;--"', ['a"b,\n"c"', "x;--"]],
  ["search_path", "a b", undefined],
  ["search_path", "a,", undefined],
  ["search_path", ",a", undefined],
  ["search_path", '"a', undefined],
  ["search_path", '"a""', undefined],
  ["search_path", '"a" b', undefined],
  ["search_path", "\u00a0é", ["\u00a0é"]],
  ["session_preload_libraries", "$libdir/My Library , b", ["$libdir/My Library", "b"]],
])("%s=%j holds %j", (parameter, value, words) => {
  expect(splitSetting(parameter, value)).toEqual(words)
})

test.each(["search_path", "local_preload_libraries"])(
  "%s takes time in proportion to its length",
  (parameter) => {
    const values = [`a${" ".repeat(1e6)}b`, `"${'x""'.repeat(4e5)}"`, " ".repeat(1e6), '"'.repeat(1e6 + 1)]
    const begun = performance.now()
    for (const value of values) splitSetting(parameter, value)
    expect(performance.now() - begun).toBeLessThan(5_000)
  },
)
