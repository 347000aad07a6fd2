import { formatName } from "../console/format.ts"

const listedAtMost = 5

/** "a, b, c and 12 more". */
export function listed(names: readonly string[]): string {
  const more = names.length - listedAtMost
  return names.slice(0, listedAtMost).map(formatName).join(", ") + (more > 0 ? ` and ${more} more` : "")
}
