import { formatName } from "../console/format.ts"

/** Text that is HTML already. Made by `html` alone, so that nothing gets into a page as it came. */
export type Html = { readonly html: string }

type Piece = string | number | Html | null | readonly Piece[]

/** A template whose pieces are escaped, unless they are HTML themselves; null is nothing. */
export function html(texts: TemplateStringsArray, ...pieces: readonly Piece[]): Html {
  return { html: texts.reduce((before, text, index) => before + textOf(pieces[index - 1] ?? null) + text) }
}

/** HTML of our own making: never of what was read somewhere. */
export function ownHtml(text: string): Html {
  return { html: text }
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
}

/** Text for an element or an attribute in quotes; what could move or turn other text is made visible. */
export function escapeHtml(text: string): string {
  return formatName(text).replaceAll(/[&<>"']/g, (character) => entities[character] ?? "")
}

function textOf(piece: Piece): string {
  if (piece === null) return ""
  if (typeof piece === "string") return escapeHtml(piece)
  if (typeof piece === "number") return String(piece)
  return "html" in piece ? piece.html : piece.map(textOf).join("")
}
