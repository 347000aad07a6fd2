import { formatProblem } from "../core/check.ts"
import { messageOf } from "../errors.ts"
import type { PgstowEvent } from "../notify/events.ts"
import type { CopiesResult, VerifyResult } from "./verify.ts"

/** What a verification that ran to its end says: the backup is as it was written, or it is not. */
export function verificationEvent(result: VerifyResult): PgstowEvent {
  const { database, id, storage, bytes, seconds, problems } = result
  if (problems.length === 0) return { type: "Verification Succeeded", database, id, storage, bytes, seconds }
  return {
    type: "Verification Failed",
    database,
    id,
    error: `backup ${id} in ${storage} is damaged: ${problems.map(formatProblem).join("; ")}`,
    hint: "Back up again now, and keep the damaged one: what is whole of it can still be restored.",
  }
}

/** What a verification says that found nothing out. */
export function noVerificationEvent({ database, id, why }: CopiesResult["unknown"][number]): PgstowEvent {
  const hint = why.hint === undefined ? {} : { hint: why.hint }
  return { type: "Verification Failed", database, id, error: messageOf(why), ...hint }
}
