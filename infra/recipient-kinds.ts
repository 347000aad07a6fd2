export type RecipientKind = "classic" | "hybrid"

/** Whether a recipient of age's is of the post-quantum kind. */
export function kindOf(recipient: string): RecipientKind {
  return recipient.startsWith("age1pq1") ? "hybrid" : "classic"
}

/**
 * What is wrong with recipients of two kinds, or of another one than the key that the stack makes: age puts only one
 * kind into a file. Undefined where nothing is, as far as that is known before the deployment.
 *
 * @param identity as in the settings: undefined for a new classic key
 */
export function mixtureOf(identity: unknown, recipients: readonly string[]): string | undefined {
  const kinds = [...new Set(recipients.map(kindOf))]
  if (kinds.length > 1)
    return "must be all classic (age1…) or all hybrid (age1pq1…): age does not mix the two in one backup"
  const [kind] = kinds
  if (identity === undefined && kind === "hybrid")
    return 'are hybrid (age1pq1…), and the stack\'s own key is classic: set "identity": "hybrid"'
  if (identity === "hybrid" && kind === "classic")
    return 'must be hybrid, too (age1pq1…), where "identity" is "hybrid": `pgstow keygen --hybrid` makes them'
  return undefined
}
