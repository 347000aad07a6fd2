/** A statement that begins or ends a transaction. */
export type TransactionControl = {
  /** Its first word, in upper case. */
  readonly statement: string
  /** Where it stands, from 1 on. */
  readonly line: number
}

const [newline, quote, doubleQuote, backslash, dollar, minus, slash, star, semicolon, open, close] =
  Buffer.from("\n'\"\\$-/*;()")

/** What ends the rows of a COPY: a line of its own. */
const endOfRows = "\\."

/** Where a script stands: in SQL, or within what is none. */
type Mode = "sql" | "string" | "name" | "dollar" | "remark" | "block" | "command" | "rows"

/** So many words tell what a statement is. */
const wordsKept = 5

/**
 * Looks for statements that begin or end a transaction in a plain dump, as psql cuts it into statements. Strings,
 * remarks, bodies of functions and the rows of a COPY hold none. Savepoints are not meant, and neither is ROLLBACK TO.
 */
export class TransactionControlScanner {
  #mode: Mode = "sql"
  #resumed: Mode = "sql"
  #line = 1
  #before = 0
  #depth = 0
  #word = ""
  #words: string[] = []
  #wordsLine = 0
  #copies = 0
  #fromStdin = false
  #last = ""
  #bodies = 0
  #escapes = false
  #wasEscaped = false
  #backslashes = false
  #skip = false
  #tag = ""
  #matched = 0
  #blocks = 0
  #row = ""
  #found: TransactionControl | undefined

  /** The first one that was found up to here. */
  get found(): TransactionControl | undefined {
    return this.#found
  }

  write(chunk: Uint8Array): void {
    for (const byte of chunk) {
      if (this.#found) return
      const mode = this.#mode
      const blocks = this.#blocks
      this.#take(byte)
      // What ended or began something is no part of another sign: */* ends a remark, and begins none.
      this.#before = mode === this.#mode && blocks === this.#blocks ? byte : 0
      if (byte === newline) this.#endLine()
    }
  }

  #endLine(): void {
    this.#line += 1
    if (this.#mode === "remark" || this.#mode === "command") this.#mode = "sql"
    // psql reads the rows from the next line on, whatever stands behind the statement.
    if (this.#copies > 0 && this.#mode !== "rows")
      [this.#resumed, this.#mode, this.#row] = [this.#mode, "rows", ""]
  }

  #take(byte: number): void {
    switch (this.#mode) {
      case "sql":
        this.#takeSql(byte)
        return
      case "string":
        if (this.#skip) this.#skip = false
        else if (byte === backslash && this.#escapes) this.#skip = true
        else if (byte === quote) [this.#mode, this.#wasEscaped] = ["sql", this.#escapes]
        return
      case "name":
        if (byte === doubleQuote) this.#mode = "sql"
        return
      case "dollar":
        this.#takeDollar(byte)
        return
      case "block":
        this.#takeBlock(byte)
        return
      case "rows":
        if (byte !== newline) {
          if (this.#row.length <= endOfRows.length + 1) this.#row += String.fromCharCode(byte)
          return
        }
        if (this.#row.replace(/\r$/, "") === endOfRows) this.#copies -= 1
        this.#row = ""
        if (this.#copies === 0) this.#mode = this.#resumed
        return
      case "remark":
      case "command":
    }
  }

  #takeSql(byte: number): void {
    if (isOfWord(byte) || (byte === dollar && this.#word !== "")) {
      this.#word += String.fromCharCode(byte)
      this.#wasEscaped = false
      return
    }
    const word = this.#word.toUpperCase()
    this.#word = ""
    if (word !== "") this.#addWord(word)
    const before = word === "" ? this.#before : 0
    if (byte === quote) {
      // A string that goes on is of the same kind: E'a''\''.
      this.#escapes = word === "E" || (word === "" && this.#wasEscaped) || this.#backslashes
      this.#mode = "string"
      return
    }
    if (byte > 0x20) this.#wasEscaped = false
    if (byte === doubleQuote) this.#mode = "name"
    else if (byte === dollar) [this.#mode, this.#tag, this.#matched] = ["dollar", "$", 0]
    else if (byte === minus && before === minus) this.#mode = "remark"
    else if (byte === star && before === slash) [this.#mode, this.#blocks] = ["block", 1]
    else if (byte === open) this.#depth += 1
    else if (byte === close) this.#depth = Math.max(0, this.#depth - 1)
    else if (byte === semicolon && (before === backslash || (this.#depth === 0 && this.#bodies === 0)))
      this.#endStatement()
    // "\;" is no command: it ends a statement.
    else if (before === backslash && byte !== newline) this.#mode = "command"
  }

  #takeDollar(byte: number): void {
    const isWhole = this.#tag.length > 1 && this.#tag.endsWith("$")
    if (!isWhole) {
      const isDigit = byte >= 0x30 && byte <= 0x39
      if (byte === dollar || (isOfWord(byte) && !(this.#tag === "$" && isDigit))) {
        this.#tag += String.fromCharCode(byte)
        return
      }
      // A parameter, or a sign.
      this.#mode = "sql"
      this.#takeSql(byte)
      return
    }
    if (byte === this.#tag.charCodeAt(this.#matched)) this.#matched += 1
    else this.#matched = byte === dollar ? 1 : 0
    if (this.#matched === this.#tag.length) this.#mode = "sql"
  }

  #takeBlock(byte: number): void {
    const isEnd = byte === slash && this.#before === star
    const isBegin = byte === star && this.#before === slash
    if (isEnd) this.#blocks -= 1
    if (isBegin) this.#blocks += 1
    if (this.#blocks === 0) this.#mode = "sql"
  }

  #addWord(word: string): void {
    if (this.#words.length === 0) this.#wordsLine = this.#line
    if (this.#words.length < wordsKept) this.#words.push(word)
    if (this.#last === "FROM" && word === "STDIN" && this.#words[0] === "COPY") this.#fromStdin = true
    this.#last = word
    // As psql does, so that a body in SQL is one statement with the function that it is of.
    if (this.#depth > 0 || this.#words[0] !== "CREATE") return
    if (!/^CREATE (OR REPLACE )?(FUNCTION|PROCEDURE)\b/.test(this.#words.join(" "))) return
    if (word === "BEGIN" || (word === "CASE" && this.#bodies > 0)) this.#bodies += 1
    if (word === "END" && this.#bodies > 0) this.#bodies -= 1
  }

  #endStatement(): void {
    const text = this.#words.join(" ")
    if (control.test(text) && !savepoint.test(text))
      this.#found = { statement: this.#words[0] ?? "", line: this.#wordsLine }
    if (this.#fromStdin) this.#copies += 1
    const [, value] = /^SET (?:(?:SESSION|LOCAL) )?STANDARD_CONFORMING_STRINGS (?:TO )?(\w+)/.exec(text) ?? []
    if (value !== undefined) this.#backslashes = ["OFF", "FALSE", "NO", "0"].includes(value)
    this.#words = []
    this.#last = ""
    this.#fromStdin = false
    this.#depth = 0
    this.#bodies = 0
  }
}

const control = /^(?:BEGIN|COMMIT|END|ABORT|ROLLBACK|START TRANSACTION|PREPARE TRANSACTION)\b/
const savepoint = /^ROLLBACK (?:(?:WORK|TRANSACTION) )?TO\b/

/** Of letters, digits, "_", and all that is not ASCII. */
function isOfWord(byte: number): boolean {
  return (
    (byte >= 0x61 && byte <= 0x7a) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    (byte >= 0x30 && byte <= 0x39) ||
    byte === 0x5f ||
    byte >= 0x80
  )
}
