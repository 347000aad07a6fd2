import { PgstowError } from "../errors.ts"

/**
 * A failure that has a result all the same: a backup that is good in some storages only, a damaged copy, a restore that is
 * incomplete, a storage that could not be listed while others were.
 */
export class ResultError<Result> extends PgstowError {
  /** What the function would have resolved to. */
  readonly result: Result

  constructor({ kind, message, cause, hint }: PgstowError, result: Result) {
    super(kind, message, { cause, hint })
    this.result = result
  }
}

/** The result, where nothing of it failed. Throws a ResultError otherwise. */
export function unlessFailed<Result>(result: Result, failure: PgstowError | undefined): Result {
  if (failure === undefined) return result
  throw new ResultError(failure, result)
}
