import fc from "fast-check"

/**
 * The seed of the property tests: the same values in each run, so that what fails is due to the change.
 * `PGSTOW_TEST_SEED=N` tries others.
 */
fc.configureGlobal({ seed: Number(process.env.PGSTOW_TEST_SEED ?? 550389675) })
