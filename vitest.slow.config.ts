import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"
import { slowTests } from "./test/support/slow-tests.ts"

export default defineConfig({
  test: {
    include: slowTests,
    globalSetup: ["test/support/global-set-up.ts"],
    setupFiles: ["test/support/match-patterns.ts", "test/support/property-seed.ts"],
    // One less, by default.
    maxWorkers: availableParallelism(),
    testTimeout: 240_000,
    hookTimeout: 240_000,
    // What is waited for comes when it comes: the default is a second.
    expect: { poll: { timeout: 30_000 } },
  },
})
