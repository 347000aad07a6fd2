import { readFile, writeFile } from "node:fs/promises"
import { makeReadable, PgstowError } from "../errors.ts"
import { formatEnvFile, formatMigration, isSecret, type Migration, migrate } from "./migrate.ts"

export type MigrateResult = Omit<Migration, "settings"> & {
  readonly settings: readonly {
    readonly name: string
    /** Null where it is a secret. */
    readonly value: string | null
    /** The older names that it comes from. */
    readonly from: readonly string[]
  }[]
  /** The file that the settings were written to. */
  readonly written: string | null
}

/**
 * Reads an environment file of Emiti or Sentinel and finds the settings that do the same; writes them to `write`,
 * which must not exist yet, readable by its owner alone.
 */
export async function migrateFile(
  file: string,
  { write }: { readonly write?: string | undefined } = {},
): Promise<{ readonly result: MigrateResult; readonly text: string }> {
  const content = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new PgstowError("usage", `${file} can't be read`, { cause, hint: makeReadable })
  })
  const migration = migrate(content)
  if (write !== undefined) await writeNew(write, formatEnvFile(migration))
  const settings = migration.settings.map(({ name, value, from }) => ({
    name,
    value: isSecret(name) ? null : value,
    from,
  }))
  return { result: { ...migration, settings, written: write ?? null }, text: formatMigration(migration) }
}

async function writeNew(file: string, content: string): Promise<void> {
  try {
    await writeFile(file, content, { flag: "wx", mode: 0o600 })
  } catch (cause) {
    throw new PgstowError("usage", `${file} can't be written`, {
      cause,
      hint: "Name a file that does not exist yet, in a folder that you may write to.",
    })
  }
}
