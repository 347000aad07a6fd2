import { type Environment, translateSettings } from "./translate-settings.ts"

/**
 * `env` with what Emiti's and Sentinel's names in it mean to pgstow, where pgstow's own names say nothing of it.
 * Names whose meaning differs, or is not plain, are left alone: other programs use some of them too. `notes` name
 * each older setting that was taken, and the one to use instead.
 */
export function adoptLegacyNames(env: Environment): {
  readonly env: Environment
  readonly notes: readonly string[]
} {
  const adopted = translateSettings(env).settings.filter(({ unless }) => !unless.some((name) => env[name]))
  return {
    env: { ...env, ...Object.fromEntries(adopted.map(({ name, value }) => [name, value])) },
    notes: adopted.flatMap(({ name, from }) =>
      from
        .filter((older) => older !== name)
        .map((older) => `${older} is read as ${name}: use that name instead`),
    ),
  }
}
