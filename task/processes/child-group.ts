import type { Child } from "./child.ts"

/** Children that work together and end together. */
export type ChildGroup = {
  /** What they are to be started with: aborted with the outer signal, and by `end`. */
  readonly signal: AbortSignal
  add(child: Child): Child
  /** Ends those that still run, and resolves when all are gone. */
  end(): Promise<void>
}

export function childGroup(outer: AbortSignal | undefined): ChildGroup {
  const stop = new AbortController()
  const children: Child[] = []
  return {
    signal: outer ? AbortSignal.any([outer, stop.signal]) : stop.signal,
    add(child) {
      children.push(child)
      return child
    },
    async end() {
      stop.abort()
      await Promise.allSettled(children.map(({ ended }) => ended))
    },
  }
}
