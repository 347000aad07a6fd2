const shown = 5

/** Those of `candidates` that someone who wrote `text` may have meant, the nearest first; at most five. */
export function nearest<Candidate>(
  text: string,
  candidates: readonly Candidate[],
  textOf: (candidate: Candidate) => string,
): Candidate[] {
  const wanted = text.toLowerCase()
  const limit = Math.max(1, Math.floor(wanted.length / 3))
  return candidates
    .map((candidate) => ({ candidate, distance: editDistance(wanted, textOf(candidate).toLowerCase()) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, shown)
    .map(({ candidate }) => candidate)
}

/** How many characters must be put in, taken out or replaced to make `b` of `a` (Levenshtein's distance). */
function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const replaced = (above[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1)
      current.push(Math.min(replaced, (above[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1))
    }
    above = current
  }
  return above[b.length] ?? 0
}
