/** `text`, or as much of its beginning as `characters` hold, with a mark that it goes on. */
export function shorten(text: string, characters: number): string {
  return text.length <= characters
    ? text
    : `${text.slice(0, characters - 1).replace(/[\ud800-\udbff]$/, "")}…`
}

/** The last of `lines`, in one text of no more than `characters`. */
export function lastLines(lines: readonly string[], characters: number): string {
  const text = lines.join("\n")
  return text.length <= characters
    ? text
    : `…${text.slice(text.length - characters + 1).replace(/^[\udc00-\udfff]/, "")}`
}
