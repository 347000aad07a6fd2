/** Tests that take from twenty seconds to minutes each: `npm run test:slow` runs them, and CI, and `npm test` goes without. */
export const slowTests = [
  "test/build/each-older-node.test.ts",
  "test/end-to-end/almost-s3.test.ts",
  "test/end-to-end/damaged-backup.test.ts",
  "test/end-to-end/exec-losses.test.ts",
  "test/end-to-end/export.test.ts",
  "test/end-to-end/get-it-back.test.ts",
  "test/end-to-end/hostile-source.test.ts",
  "test/end-to-end/interrupts.test.ts",
  "test/end-to-end/logs.test.ts",
  "test/end-to-end/manifest-faults.test.ts",
  "test/end-to-end/odd-databases.test.ts",
  "test/end-to-end/races.test.ts",
  "test/end-to-end/segments.test.ts",
  "test/end-to-end/signatures.test.ts",
  "test/end-to-end/storage-faults.test.ts",
  "test/infra/many-databases.test.ts",
  "test/restore/foresee.test.ts",
  "test/restore/partitions-by-text.test.ts",
  "test/restore/row-order.test.ts",
  "test/storage/s3-faults.test.ts",
]

/** What takes long, and runs on the newest PostgreSQL otherwise: `npm run test:oldest` runs it on the oldest, and CI. */
export const oldestTests = [
  "test/end-to-end/create-roles.test.ts",
  "test/end-to-end/export.test.ts",
  "test/end-to-end/names-no-text.test.ts",
  "test/end-to-end/not-in-backup.test.ts",
  "test/end-to-end/round-trip.test.ts",
  "test/end-to-end/settings.test.ts",
  "test/restore/leave-out.test.ts",
  "test/restore/operator-paths.test.ts",
  "test/restore/subscriptions.test.ts",
  "test/restore/tablespaces.test.ts",
]
