/** Tests that take a minute each: `npm run test:slow` runs them, and CI, and `npm test` goes without. */
export const slowTests = [
  "test/end-to-end/segments.test.ts",
  "test/infra/many-databases.test.ts",
  "test/build/each-older-node.test.ts",
]
