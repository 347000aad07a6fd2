import * as z from "zod"
import type { Finding } from "./finding.ts"
import type { Check } from "./looking.ts"

/** A hosted service, and what its users stumble over when they back up or restore. */
type Provider = {
  readonly name: string
  /** Any of these tells it: roles, settings, functions. */
  readonly roles?: readonly string[]
  readonly settings?: readonly string[]
  readonly functions?: readonly string[]
  readonly trap: string
  readonly fix: string
}

/**
 * The first that fits. By their documentation:
 *
 * - Aurora, RDS: docs.aws.amazon.com/AmazonRDS, "Supported PostgreSQL extension versions" (`rds.extensions`,
 *   `rds.allowed_extensions`); repost.aws, "canceling statement due to conflict with recovery" on replicas.
 * - Cloud SQL: cloud.google.com/sql/docs/postgres/import-export/import-export-dmp: imports without owners and grants.
 * - Azure: learn.microsoft.com/azure/postgresql/extensions/how-to-allow-extensions.
 * - Neon: neon.com/docs/manage/backup-pg-dump: no pg_dump over the pooled connection string.
 * - Supabase: supabase.com/docs/guides/database/connecting-to-postgres: direct connections are by IPv6 unless the
 *   project has the IPv4 add-on; port 6543 is the pooler in transaction mode.
 * - Heroku: devcenter.heroku.com, "Extensions, PostGIS, and Full Text Search Dictionaries" (`extwlist.extensions`), and
 *   changelog item 2646 on the schema heroku_ext.
 * - Crunchy: the roles that Crunchy Data's PostgreSQL operator (github.com/CrunchyData/postgres-operator) makes for
 *   PgBouncer and for replication.
 */
const providers: readonly Provider[] = [
  {
    name: "Amazon Aurora",
    functions: ["aurora_version"],
    trap: "A reader cancels what reads for long. Only extensions of rds.extensions can be made in a restore, and its superuser is rds_superuser, which may not read passwords.",
    fix: "DATABASE_URL with the cluster's writer endpoint; pgstow doctor --target with the server to restore into",
  },
  {
    name: "Amazon RDS",
    roles: ["rdsadmin"],
    settings: ["rds.extensions"],
    trap: "Only extensions of rds.extensions, and of rds.allowed_extensions where that is set, can be made in a restore. Its superuser is rds_superuser, which may not read passwords of roles: they must be set again after a restore.",
    fix: "pgstow doctor --target with the server to restore into",
  },
  {
    name: "Google Cloud SQL",
    roles: ["cloudsqlsuperuser", "cloudsqladmin"],
    trap: "Its superuser is cloudsqlsuperuser, which may not give objects to roles that it is no member of, nor restore what only a superuser may make.",
    fix: "pgstow restore --no-owner --no-acl, or --create-roles",
  },
  {
    name: "Azure Database for PostgreSQL",
    roles: ["azuresu", "azure_pg_admin"],
    settings: ["azure.extensions"],
    trap: "A restore may make an extension only after it was put on the list of the server parameter azure.extensions.",
    fix: "az postgres flexible-server parameter set --name azure.extensions --value … with those of the database, on the server to restore into",
  },
  {
    name: "Neon",
    roles: ["neon_superuser"],
    settings: ["neon.tenant_id"],
    trap: "The host with -pooler in its name is a pooler in transaction mode, by which no snapshot can be held.",
    fix: "DATABASE_URL with the direct host, without -pooler",
  },
  {
    name: "Supabase",
    roles: ["supabase_admin"],
    trap: "The direct host has IPv6 addresses alone, unless the project has the IPv4 add-on; port 6543 is a pooler in transaction mode. The schemas auth and storage belong to Supabase's own roles, which another server lacks and another project has already.",
    fix: "DATABASE_URL with the session pooler (port 5432) where there is no IPv6; pgstow restore --schema public into another project",
  },
  {
    name: "Heroku Postgres",
    settings: ["extwlist.extensions"],
    trap: "Only extensions of extwlist.extensions can be made in a restore, and older databases have them in a schema heroku_ext that another server lacks. Credentials change without notice: read DATABASE_URL from Heroku for each run.",
    fix: 'DATABASE_URL="$(heroku config:get DATABASE_URL -a APP)" before each backup; pgstow restore --no-owner --no-acl elsewhere',
  },
  {
    name: "Crunchy Postgres for Kubernetes",
    roles: ["_crunchypgbouncer", "_crunchyrepl"],
    trap: "The service …-pgbouncer may be a pooler in transaction mode, and …-replicas a replica that cancels long reads. Its own roles are made by the operator, and need not be restored.",
    fix: "DATABASE_URL with the service …-primary",
  },
]

export function providerChecks(database: string): readonly Check[] {
  return [
    {
      area: "provider",
      about: "the service that the server is of",
      find: async ({ rows }) => {
        const [signs] = await rows(signsRow, signsQuery)
        const found = signs && providerOf(signs)
        return found ? [providerFinding(found, database)] : []
      },
    },
  ]
}

const signsRow = z.object({
  roles: z.array(z.string()),
  settings: z.array(z.string()),
  functions: z.array(z.string()),
})

const all = (part: "roles" | "settings" | "functions") =>
  `'{${providers.flatMap((provider) => provider[part] ?? []).join(",")}}'::text[]`

const signsQuery = `
  SELECT ARRAY(SELECT rolname::text FROM pg_roles WHERE rolname = ANY (${all("roles")})) AS roles,
         ARRAY(SELECT name FROM unnest(${all("settings")}) AS name WHERE current_setting(name, true) IS NOT NULL) AS settings,
         ARRAY(SELECT DISTINCT proname::text FROM pg_proc
                WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY (${all("functions")})) AS functions`

function providerOf(signs: z.output<typeof signsRow>): Provider | undefined {
  return providers.find(
    ({ roles = [], settings = [], functions = [] }) =>
      roles.some((name) => signs.roles.includes(name)) ||
      settings.some((name) => signs.settings.includes(name)) ||
      functions.some((name) => signs.functions.includes(name)),
  )
}

function providerFinding({ name, trap, fix }: Provider, database: string): Finding {
  return {
    check: "provider.known",
    severity: "notice",
    subject: database,
    what: `the server is of ${name}`,
    why: trap,
    fix,
  }
}
