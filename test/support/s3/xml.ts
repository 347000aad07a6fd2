/** An element's content: text, elements, or several elements of the same name. */
export type Xml = string | number | boolean | undefined | XmlElements
type XmlElements = { readonly [name: string]: Xml | readonly Xml[] }

/** A document of one element. Elements that are undefined are left out. */
export function formatXml(root: string, content: Xml): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element(root, content)}`
}

/** The text of every element of that name, in order; elements inside it are left as they are. */
export function elementsOf(xml: string, name: string): string[] {
  return [...xml.matchAll(new RegExp(`<${name}(?:\\s[^>]*)?>(.*?)</${name}>`, "gs"))].map(
    ([, text = ""]) => text,
  )
}

/** The unescaped text of the first element of that name. */
export function textOf(xml: string, name: string): string | undefined {
  const [text] = elementsOf(xml, name)
  return text?.replaceAll(/&(\w+|#\d+|#x[0-9a-f]+);/gi, (_, entity: string) => {
    if (entity.startsWith("#")) return String.fromCodePoint(Number(entity.slice(1).replace(/^x/i, "0x")))
    return { lt: "<", gt: ">", quot: '"', apos: "'" }[entity] ?? "&"
  })
}

function element(name: string, content: Xml | readonly Xml[]): string {
  if (content === undefined) return ""
  if (isList(content)) return content.map((each) => element(name, each)).join("")
  if (typeof content !== "object") return `<${name}>${escaped(String(content))}</${name}>`
  const inner = Object.entries(content).map(([child, value]) => element(child, value))
  return `<${name}>${inner.join("")}</${name}>`
}

function isList(content: Xml | readonly Xml[]): content is readonly Xml[] {
  return Array.isArray(content)
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
}
