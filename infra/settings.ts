import { type StackSettings, stackSettingsSchema } from "../task/config/settings-schema.ts"
import { withoutEffect } from "../task/config/without-effect.ts"
import { wrongSettings } from "../task/config/wrong-settings.ts"
import { mixtureOf } from "./recipient-kinds.ts"

export type Settings = StackSettings

const settingsSchema = stackSettingsSchema.superRefine(({ identity, recipients }, context) => {
  const message = mixtureOf(identity, recipients)
  if (message !== undefined) context.addIssue({ code: "custom", path: ["recipients"], message })
})

/**
 * Checks settings as they were written. Throws a usage error that names every wrong one by its path, says what is
 * wrong with it, and shows how it is written.
 *
 * @param note is told what of them is for other machines, and does nothing here
 */
export function parseSettings(
  json: unknown,
  source: string,
  note: (message: string) => void = () => {},
): Settings {
  const parsed = settingsSchema.safeParse(json)
  if (!parsed.success) throw wrongSettings(parsed.error, source)
  const idle = withoutEffect(json, "stack")
  if (idle.length > 0) note(`${source}: the stack makes no use of ${idle.join(", ")}`)
  return parsed.data
}
