import type { Bed } from "./bed.ts"
import type { Random } from "./random.ts"

/** Faults of one kind, and what must hold in spite of them. */
export type Campaign = {
  readonly name: string
  /** How many trials a run has; ten times as many with --long. All that there are without it. */
  readonly trials?: number
  /** Why it can't run on this machine; undefined where it can. */
  readonly notRun?: string | undefined
  /**
   * Sets up what its trials need. What was begun is taken down again where that fails.
   *
   * @param random the same for the same seed, for the order of trials
   */
  prepare(bed: Bed, random: Random): Promise<Stage>
}

/** A campaign that is set up. */
export type Stage = AsyncDisposable & Trials

export type Trials = {
  /** How many trials there are; no end of them without it. */
  readonly trials?: number
  /** Commits one fault, or several of a kind, and tells what became of each. What it throws is a fault that broke. */
  trial(trial: Trial, tally: Tally): Promise<void>
}

/** Makes a stage. What `prepare` puts on the stack is undone with the stage, or at once where it fails. */
export async function setStage(prepare: (undo: AsyncDisposableStack) => Promise<Trials>): Promise<Stage> {
  const undo = new AsyncDisposableStack()
  try {
    return { ...(await prepare(undo)), [Symbol.asyncDispose]: () => undo.disposeAsync() }
  } catch (error) {
    await undo.disposeAsync()
    throw error
  }
}

export type Trial = {
  /** From 0 on. */
  readonly index: number
  /** Its own, by which it can be repeated alone. */
  readonly random: Random
  /** Whether it is repeated alone: then it looks at everything, which others do now and then. */
  readonly alone: boolean
}

/** Where a trial tells of each of its faults. */
export type Tally = {
  held(fault: string): void
  broke(fault: string, why: string): void
}
