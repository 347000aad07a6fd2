/** A name in SQL, whatever is in it. */
export function identifier(name: string): string {
  return `"${withoutNul(name).replaceAll('"', '""')}"`
}

/** A text in SQL, whatever is in it and whatever `standard_conforming_strings` says. */
export function literal(text: string): string {
  const quoted = withoutNul(text).replaceAll("'", "''")
  return quoted.includes("\\") ? ` E'${quoted.replaceAll("\\", "\\\\")}'` : `'${quoted}'`
}

function withoutNul(text: string): string {
  if (text.includes("\0")) throw new RangeError("PostgreSQL has no text with the character NUL in it")
  return text
}
