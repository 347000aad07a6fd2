/** Longer than a classic recipient, which is shown whole: a hybrid one has 2,000 characters. */
const mostCharacters = 80
const shownCharacters = 62

/** A recipient as far as a person would compare it. */
export function shownRecipient(recipient: string): string {
  return recipient.length > mostCharacters ? `${recipient.slice(0, shownCharacters)}…` : recipient
}
