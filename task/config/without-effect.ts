import { stackDatabaseShape } from "./database-schema.ts"
import { machineShape, machineTopShape } from "./machine-shape.ts"
import { stackNotificationsShape, stackShape } from "./settings-schema.ts"

/** What has no effect in either place, by where it stands. The stack's own `identity` and `recipients` are those of all. */
const idle = {
  stack: { top: Object.keys(machineTopShape), database: Object.keys(machineShape), notifications: [] },
  machine: {
    top: Object.keys(stackShape),
    database: Object.keys(stackDatabaseShape),
    notifications: Object.keys(stackNotificationsShape),
  },
} satisfies Record<string, Record<string, string[]>>

/**
 * The paths of settings that were written, and mean nothing in that place: "databases[0].size". `json` is what a schema of
 * settings has taken.
 */
export function withoutEffect(json: unknown, place: keyof typeof idle): string[] {
  const { top, database, notifications } = idle[place]
  const databases = fieldOf(json, "databases")
  return [
    ...keysIn(json, top),
    ...(place === "machine" && fieldOf(json, "identity") === "hybrid" ? ['identity: "hybrid"'] : []),
    ...keysIn(fieldOf(json, "notifications"), notifications).map((key) => `notifications.${key}`),
    ...(Array.isArray(databases) ? databases : []).flatMap((one: unknown, index) =>
      keysIn(one, database).map((key) => `databases[${index}].${key}`),
    ),
  ]
}

function fieldOf(json: unknown, name: string): unknown {
  return typeof json === "object" && json !== null ? Reflect.get(json, name) : undefined
}

function keysIn(json: unknown, keys: readonly string[]): string[] {
  return keys.filter((key) => fieldOf(json, key) !== undefined)
}
