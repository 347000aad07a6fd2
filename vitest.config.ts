import { availableParallelism } from "node:os"
import { configDefaults, defineConfig } from "vitest/config"
import { commonSettings } from "./test/support/common-settings.ts"
import { slowTests } from "./test/support/slow-tests.ts"

export default defineConfig({
  test: {
    ...commonSettings,
    include: ["test/**/*.test.ts"],
    exclude: [
      ...slowTests,
      ...configDefaults.exclude,
      ...["deep", "majors", "fidelity", "aws", "image", "cluster", "package"].map(
        (suite) => `test/${suite}/**`,
      ),
    ],
    // The tests wait for other programs more than they compute. (A percentage is cut at 100.)
    maxWorkers: 2 * availableParallelism(),
  },
})
