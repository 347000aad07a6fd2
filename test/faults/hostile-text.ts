import type { Random } from "./random.ts"

/** What a terminal would obey; and what is looked for where a terminal's own sequences are to be seen as well. */
export const escapes = [
  "\u001b]2;PWNED\u0007",
  "\u001b[31mPWNED",
  "\u009b31mPWNED",
  "\u009d2;PWNED\u009c",
] as const

/** The role that SQL of a stranger's would make, if any of it were run. */
export const intruder = "pwned"

/**
 * Text that means something to SQL, to psql, to a shell, to a path, to libpq or to a terminal.
 *
 * @param canary a file that is made where a shell or the server obeys some of it
 * @param mostBytes in UTF-8
 */
export function hostileText(random: Random, canary: string, mostBytes: number): string {
  const fragments = [
    ...escapes,
    "'",
    '"',
    "\\",
    "\n",
    "\r\n",
    "\t",
    ";",
    "--",
    "/*",
    "*/",
    "$$",
    "$x$",
    ":",
    ":'x'",
    "%41",
    "%",
    "/",
    "..",
    "=",
    " ",
    "é",
    "🐘",
    "\u202e",
    "{}",
    "-",
    "--help",
    "host=evil.invalid",
    "\\.",
    `'; CREATE ROLE ${intruder} SUPERUSER; --`,
    `"; CREATE ROLE ${intruder} SUPERUSER; --`,
    `\nCREATE ROLE ${intruder} SUPERUSER;\n`,
    `x\nCREATE ROLE rdsadmin ;`,
    `; ALTER ROLE ${intruder} SUPERUSER; --`,
    `\n\\! touch ${canary}\n`,
    `\\copy (SELECT 1) TO PROGRAM 'touch ${canary}'`,
    `$(touch ${canary})`,
    `\`touch ${canary}\``,
    "\nGRANT pg_read_all_data TO rdsadmin ;\n",
  ]
  let text = ""
  for (let count = random.between(1, 5); count > 0; count--) {
    const longer = text + random.pick(fragments)
    if (Buffer.byteLength(longer) > mostBytes) break
    text = longer
  }
  return text === "" ? `"` : text
}

/** A name in SQL. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A text in SQL, whatever `standard_conforming_strings` says. */
export function literal(text: string): string {
  return `E'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`
}
