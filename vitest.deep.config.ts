import { defineConfig } from "vitest/config"
import { commonSettings } from "./test/support/common-settings.ts"

/** What takes minutes: large amounts of data, every major version of PostgreSQL, databases as people have them, the stack on an emulator, the image, containers and clusters, the npm package. Each is a folder of its own. */
export default defineConfig({
  test: {
    ...commonSettings,
    include: ["test/{deep,majors,fidelity,aws,image,cluster,package}/**/*.test.ts"],
    // One after the other: what they measure is their own.
    maxWorkers: 1,
    testTimeout: 600_000,
  },
})
