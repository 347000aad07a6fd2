import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"
import { commonSettings } from "./test/support/common-settings.ts"
import { slowTests } from "./test/support/slow-tests.ts"

export default defineConfig({
  test: {
    ...commonSettings,
    include: slowTests,
    // One less, by default.
    maxWorkers: availableParallelism(),
  },
})
