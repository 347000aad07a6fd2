import { type Message, plainText, type ToldEvent } from "./message.ts"

/** The body of any other webhook: the event as it is, the outcome, and the message as a title and a text. */
export function webhookBody(message: Message, event: ToldEvent): unknown {
  return {
    source: "pgstow",
    outcome: message.outcome,
    title: message.title,
    text: plainText(message),
    ...event,
  }
}
