const usualRowsOnPage = 25

/** Makes a table one to look things up in: filtered by text, sorted by any column, a page at a time. */
export function lookUp(id: string, rows: readonly HTMLTableRowElement[]): void {
  const table = document.getElementById(id)
  const body = table?.querySelector("tbody")
  const region = table?.parentElement
  if (!table || !body || !region) return
  const rowsOnPage = Number(table.dataset.rows ?? usualRowsOnPage)
  const state = { text: "", page: 0, column: -1, descending: false }

  const search = document.createElement("input")
  search.type = "search"
  search.autocomplete = "off"
  const label = document.createElement("label")
  label.append("Filter ", search)
  const count = document.createElement("output")
  const [back, on] = [button("Back", -1), button("Next", 1)]
  const pager = document.createElement("div")
  pager.className = "pager"
  pager.append(label, count, back, on)
  region.before(pager)

  function button(text: string, by: number): HTMLButtonElement {
    const made = document.createElement("button")
    made.type = "button"
    made.textContent = text
    made.setAttribute("aria-label", `${text}: ${table?.querySelector("caption")?.textContent ?? ""}`)
    made.addEventListener("click", () => {
      state.page += by
      show()
    })
    return made
  }

  const heads = [...table.querySelectorAll<HTMLTableCellElement>("thead th")]
  for (const [column, head] of heads.entries()) {
    const sort = document.createElement("button")
    sort.type = "button"
    sort.append(...head.childNodes)
    head.append(sort)
    sort.addEventListener("click", () => {
      // What is largest or newest is looked for more often.
      state.descending = state.column === column ? !state.descending : true
      state.column = column
      state.page = 0
      for (const other of heads) other.removeAttribute("aria-sort")
      head.setAttribute("aria-sort", state.descending ? "descending" : "ascending")
      show()
    })
  }
  search.addEventListener("input", () => {
    state.text = search.value.trim().toLowerCase()
    state.page = 0
    show()
  })

  /** Taken when it is first needed. */
  let texts: readonly string[] | undefined
  function matching(): readonly HTMLTableRowElement[] {
    if (state.text === "") return rows
    texts ??= rows.map((row) =>
      [...row.cells]
        .map(({ textContent }) => textContent)
        .join("\n")
        .toLowerCase(),
    )
    return rows.filter((_, index) => texts?.[index]?.includes(state.text))
  }

  function show(): void {
    const found = matching()
    const asNumber = heads[state.column]?.dataset.sort === "number"
    const sorted = state.column < 0 ? found : sortedBy(found, state.column, asNumber, state.descending)
    const pages = Math.max(1, Math.ceil(sorted.length / rowsOnPage))
    state.page = Math.min(Math.max(0, state.page), pages - 1)
    const from = state.page * rowsOnPage
    const shown = sorted.slice(from, from + rowsOnPage)
    body?.replaceChildren(...shown)
    count.textContent =
      shown.length === 0 ? "none" : `${from + 1} to ${from + shown.length} of ${sorted.length}`
    back.disabled = state.page === 0
    on.disabled = state.page === pages - 1
    pager.hidden = rows.length <= 5
  }
  show()
}

/** Empty cells come last either way. */
function sortedBy(
  rows: readonly HTMLTableRowElement[],
  column: number,
  asNumber: boolean,
  descending: boolean,
): HTMLTableRowElement[] {
  const keyed = rows.map((row) => {
    const text = row.cells[column]?.textContent ?? ""
    return { row, text, value: asNumber ? Number(text.replaceAll(",", "")) : 0 }
  })
  const sign = descending ? -1 : 1
  keyed.sort((a, b) => {
    if (a.text === "" || b.text === "") return Number(a.text === "") - Number(b.text === "")
    const order = asNumber ? a.value - b.value : a.text.localeCompare(b.text, "en", { numeric: true })
    return sign * order
  })
  return keyed.map(({ row }) => row)
}
