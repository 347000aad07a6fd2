import { availableParallelism } from "node:os"
import { configDefaults, defineConfig } from "vitest/config"
import { slowTests } from "./test/support/slow-tests.ts"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: [
      ...slowTests,
      ...configDefaults.exclude,
      ...["deep", "majors", "fidelity", "aws", "image", "cluster", "package"].map(
        (suite) => `test/${suite}/**`,
      ),
    ],
    globalSetup: ["test/support/global-set-up.ts"],
    setupFiles: ["test/support/match-patterns.ts", "test/support/property-seed.ts"],
    // The tests wait for other programs more than they compute. (A percentage is cut at 100.)
    maxWorkers: 2 * availableParallelism(),
    // Only what hangs is to end by it, on a machine of half the speed with others on it, too.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    // What is waited for comes when it comes: the default is a second.
    expect: { poll: { timeout: 30_000 } },
  },
})
