/** Has psql say on stderr how many rows the \copy before it took. */
export const sayCopiedRows = "\\warn pgstow copied :ROW_COUNT"

/** The number in a line that came of that; undefined for any other line. */
export function copiedRowsIn(line: string): number | undefined {
  const [, rows] = /^pgstow copied (\d+)$/.exec(line) ?? []
  return rows === undefined ? undefined : Number(rows)
}
