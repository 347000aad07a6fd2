import type { Log } from "../../task/console/log.ts"

const unexpected = (message: string) => {
  throw new Error(`nobody was to hear of this: ${message}`)
}

/** A context whose log takes what is good news, and fails the test at a warning. */
export const quiet: { readonly log: Log } = {
  log: { debug: () => {}, info: () => {}, warn: unexpected, error: unexpected, close: () => {} },
}
