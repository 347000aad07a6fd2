import { expect, test } from "vitest"
import { chooseDatabases } from "../../task/core/choose-databases.ts"

const names = ["orders", "orders_test", "a.b", "axb", "postgres"]

test.each([
  [[], [], names],
  [[], ["*_test", "postgres"], ["orders", "a.b", "axb"]],
  [["orders*"], [], ["orders", "orders_test"]],
  [["orders*"], ["*test"], ["orders"]],
  [["a.b"], [], ["a.b"]],
  [["rder"], [], []],
])("including %j, excluding %j: %j", (include, exclude, chosen) => {
  expect(chooseDatabases(names, { include, exclude })).toEqual(chosen)
})
