import type * as z from "zod"
import type { Context } from "../context.ts"
import type { Settings } from "../settings/config.ts"
import { type connectionFlags, connectionOf, recipientsOf, storagesOf } from "../settings/inputs.ts"

/** Throws what a backup with these settings would be refused with before it connects to anything. */
export async function checkBackup(
  settings: Settings,
  flags: z.output<typeof connectionFlags>,
  context: Context,
): Promise<void> {
  recipientsOf(settings)
  for (const storage of storagesOf(settings, context)) storage.close()
  await connectionOf(settings, flags, context)
}
