import { formatCount } from "../console/format.ts"
import { incompleteName } from "../core/restored-name.ts"
import { databaseExists, describeContents } from "../postgres/target-database.ts"
import type { RestoreJob } from "./job.ts"

/** What a restore would ask first. */
export async function questionsOf(
  { target, name }: Pick<RestoreJob, "target" | "name">,
  exists: boolean,
): Promise<string[]> {
  if (exists) {
    const { tables, largeObjects } = await describeContents(await target.inside(name))
    const isEmpty = tables === 0 && largeObjects === 0
    return isEmpty
      ? []
      : [`it holds ${formatCount(tables, "table")} already, so its name must be typed first, or --yes given`]
  }
  const incomplete = incompleteName(name)
  return (await databaseExists(await target.outside(), incomplete))
    ? [`the database ${incomplete} of an earlier restore goes first, after a question or with --yes`]
    : []
}
