/** Every item once in a round; each round begins with another one, so that none always follows the same. */
export function inRounds<Item>(items: readonly Item[], rounds: number): [round: number, item: Item][] {
  return Array.from({ length: rounds }, (_, round) => round).flatMap((round) =>
    items.map((_, index): [number, Item] => {
      const item = items[(index + round) % items.length]
      if (item === undefined) throw new RangeError("an index within the array")
      return [round + 1, item]
    }),
  )
}
