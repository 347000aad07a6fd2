import { defineConfig } from "vitest/config"

/** What takes minutes: large amounts of data, and waiting for time limits. */
export default defineConfig({
  test: {
    include: ["test/deep/**/*.test.ts"],
    globalSetup: ["test/support/global-postgres.ts"],
    // One after the other: what they measure is their own.
    maxWorkers: 1,
    testTimeout: 600_000,
    hookTimeout: 120_000,
  },
})
