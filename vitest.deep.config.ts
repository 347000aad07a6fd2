import { defineConfig } from "vitest/config"

/** What takes minutes: large amounts of data, every major version of PostgreSQL, databases as people have them, the stack on an emulator, the image, containers and clusters, the npm package. Each is a folder of its own. */
export default defineConfig({
  test: {
    include: ["test/{deep,majors,fidelity,aws,image,cluster,package}/**/*.test.ts"],
    globalSetup: ["test/support/global-set-up.ts"],
    setupFiles: ["test/support/match-patterns.ts"],
    // One after the other: what they measure is their own.
    maxWorkers: 1,
    testTimeout: 600_000,
    hookTimeout: 240_000,
    // What is waited for comes when it comes: the default is a second.
    expect: { poll: { timeout: 30_000 } },
  },
})
