import * as z from "zod"
import { formatCount } from "../console/format.ts"
import { readUnloggedTables } from "../postgres/unread-rows.ts"
import { extensionsWithProtocol } from "../restore/extension-protocols.ts"
import type { Finding } from "./finding.ts"
import { listed } from "./listed.ts"
import type { Check } from "./looking.ts"

/** What a backup does not hold, or a restore does not bring back as everything else. */
export function apartChecks(database: string): readonly Check[] {
  return [
    {
      area: "content",
      about: "what a restore treats apart",
      find: async ({ rows, session }) => {
        const [found] = await rows(apartRow, apartQuery)
        if (found === undefined) return []
        const unlogged = found.isInRecovery ? await readUnloggedTables(session) : []
        return apartFindings({ ...found, unlogged }, database)
      },
    },
  ]
}

const apartRow = z.object({
  isInRecovery: z.boolean(),
  subscriptions: z.int(),
  eventTriggers: z.array(z.string()),
  foreignTables: z.int(),
  extensions: z.array(z.string()),
})

const apartQuery = `
  SELECT pg_is_in_recovery() AS "isInRecovery",
         (SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
           WHERE d.datname = current_database()) AS subscriptions,
         ARRAY(SELECT evtname::text FROM pg_event_trigger e
                WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass
                                     AND d.objid = e.oid AND d.deptype = 'e') ORDER BY 1) AS "eventTriggers",
         (SELECT count(*) FROM pg_class WHERE relkind = 'f') AS "foreignTables",
         ARRAY(SELECT extname::text FROM pg_extension ORDER BY 1) AS extensions`

export function apartFindings(
  {
    subscriptions,
    eventTriggers,
    foreignTables,
    extensions,
    unlogged,
  }: z.output<typeof apartRow> & { readonly unlogged: readonly string[] },
  database: string,
): Finding[] {
  const notice = (check: Finding["check"], what: string, why: string, fix: string): Finding => ({
    check,
    severity: "notice",
    subject: database,
    what,
    why,
    fix,
  })
  const special = extensions.filter((name) => extensionsWithProtocol.includes(name))
  return [
    ...(unlogged.length === 0
      ? []
      : [
          {
            ...notice(
              "content.unlogged",
              `the server is a replica, and has no rows of ${formatCount(unlogged.length, "unlogged table")}: ${listed(unlogged)}`,
              "Unlogged tables are not replicated: in a backup of a replica they are empty. To be run on the primary; or back up the primary.",
              unlogged.map((table) => `ALTER TABLE ${table} SET LOGGED;`).join(" "),
            ),
            severity: "warning" as const,
          },
        ]),
    ...(subscriptions === 0
      ? []
      : [
          notice(
            "content.subscriptions",
            `the database has ${formatCount(subscriptions, "subscription")}`,
            "A restored one is made without a connection and disabled, so that a copy does not take the original's place at the publisher.",
            "pgstow restore --no-subscriptions, where they are not wanted",
          ),
        ]),
    ...(eventTriggers.length === 0
      ? []
      : [
          notice(
            "content.event-triggers",
            `the database has ${formatCount(eventTriggers.length, "event trigger")}: ${listed(eventTriggers)}`,
            "Only a superuser may make them: on a hosted service a restore refuses to begin.",
            "pgstow restore --no-event-triggers, where its user is no superuser",
          ),
        ]),
    ...(foreignTables === 0
      ? []
      : [
          notice(
            "content.foreign-tables",
            `the rows of ${formatCount(foreignTables, "foreign table")} are on other servers`,
            "A backup has their definitions alone.",
            "a backup of these servers, too",
          ),
        ]),
    ...(special.length === 0
      ? []
      : [
          notice(
            "content.extensions",
            `${listed(special)} ${special.length === 1 ? "has" : "have"} rules of ${special.length === 1 ? "its" : "their"} own for restores`,
            "pgstow's restore keeps to them: TimescaleDB's rows go in by its own functions and its very version; pg_cron's jobs are inactive in a copy, and one database of a server may have it.",
            "pgstow restore, into a server with the same version of the extension",
          ),
        ]),
  ]
}
