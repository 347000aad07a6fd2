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
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
