const meanings: Readonly<Record<string, string>> = {
  d: "restored and compared",
  v: "verified",
  g: "whole, not verified",
  f: "failed or damaged",
  m: "missing",
}

/** Says of each night under the pointer which it is. */
export function nameNights(): void {
  document.addEventListener("pointerover", ({ target }) => {
    if (!(target instanceof HTMLTableCellElement) || target.title !== "") return
    const meaning = meanings[target.className]
    const month = target.closest("table.month")?.querySelector("caption")?.textContent ?? ""
    if (meaning !== undefined) target.title = `${target.textContent} ${month}: ${meaning}`
  })
}
