/** What is the same in each configuration of vitest. */
export const commonSettings = {
  globalSetup: ["test/support/global-set-up.ts"],
  setupFiles: ["test/support/match-patterns.ts", "test/support/property-seed.ts"],
  // Only what hangs is to end by it, on a machine of half the speed with others on it, too.
  testTimeout: 240_000,
  hookTimeout: 240_000,
  // What is waited for comes when it comes: the default is a second.
  expect: { poll: { timeout: 30_000 } },
}
