import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"
import { commonSettings } from "./test/support/common-settings.ts"
import { oldestTests } from "./test/support/slow-tests.ts"

export default defineConfig({
  test: {
    ...commonSettings,
    include: oldestTests,
    // One less, by default.
    maxWorkers: availableParallelism(),
  },
})
