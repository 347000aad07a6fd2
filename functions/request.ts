import { EventBridgeClient, PutEventsCommand } from "@aws-sdk/client-eventbridge"
import { PgstowError } from "../task/errors.ts"

/** What one function asks of another, by the stack's bus. People get no notification of it. */
export const requestSource = "pgstow.request"

export type StackRequest =
  | { readonly type: "Start Backup"; readonly detail: { readonly database: string; readonly retry: number } }
  /** In the shape of S3's own event of a manifest that arrived. */
  | { readonly type: "Verify Backup"; readonly detail: { readonly object: { readonly key: string } } }

// Pure, so that the bundle of who wants the names above alone, the constructs, goes without the client.
const client = /* @__PURE__ */ new EventBridgeClient()

/** Rejects where the bus did not take it. */
export async function putRequest(bus: string, { type, detail }: StackRequest): Promise<void> {
  const entry = {
    EventBusName: bus,
    Source: requestSource,
    DetailType: type,
    Detail: JSON.stringify(detail),
  }
  const { Entries } = await client.send(new PutEventsCommand({ Entries: [entry] }))
  const refused = Entries?.find(({ ErrorCode }) => ErrorCode !== undefined)
  if (refused !== undefined)
    throw new PgstowError(
      "unexpected",
      `the request "${type}" was refused: ${refused.ErrorCode}: ${refused.ErrorMessage}`,
    )
}
