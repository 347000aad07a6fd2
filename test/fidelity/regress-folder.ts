import { join } from "node:path"
import { installRoot } from "../support/postgres.ts"

/** Where `install-regress.ts` puts PostgreSQL's own regression tests: src/test/regress, and regress.so in it. */
export const regressFolder = (major: number) => join(installRoot, `regress-${major}`)
