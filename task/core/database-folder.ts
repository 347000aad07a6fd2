/**
 * The folder that holds the backups of a database: its name percent-encoded as UTF-8, all but A-Z, a-z, 0-9,
 * "_", "-", and dots that are neither first nor last. Made so that no name can leave its folder or be two.
 */
export function databaseFolder(database: string): string {
  return encodeURIComponent(database.toWellFormed()).replaceAll(
    /[!~*'()]|^\.|\.$/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

/** The database whose folder this is; undefined where `databaseFolder` makes no such folder. */
export function databaseOf(folder: string): string | undefined {
  try {
    const database = decodeURIComponent(folder)
    return database !== "" && databaseFolder(database) === folder ? database : undefined
  } catch (error) {
    if (error instanceof URIError) return undefined
    throw error
  }
}
