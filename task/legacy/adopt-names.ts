import { type Environment, translateSettings } from "./translate-settings.ts"

/**
 * `env` with what Emiti's and Sentinel's names in it mean to pgstow, where pgstow's own names say nothing of it.
 * Names whose meaning differs are left alone. `notes` name each older setting that was taken and the one to use
 * instead; `problems` those that mean nothing, or two things.
 */
export function adoptLegacyNames(env: Environment): {
  env: Environment
  notes: string[]
  problems: readonly string[]
} {
  const { settings, problems } = translateSettings(env)
  const adopted = settings.filter(({ unless }) => !unless.some((name) => env[name]))
  return {
    env: { ...env, ...Object.fromEntries(adopted.map(({ name, value }) => [name, value])) },
    notes: adopted.flatMap(({ name, from }) =>
      from
        .filter((older) => older !== name)
        .map((older) => `${older} is read as ${name}: use that name instead`),
    ),
    problems,
  }
}
