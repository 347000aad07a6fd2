/**
 * Roles that hosted services make for themselves, and that nobody may make or change: Amazon RDS and Aurora,
 * Google Cloud SQL and AlloyDB, Azure, Neon, Supabase. By their documentation, and what users report of restores.
 */
const providerRole =
  /^(?:rdsadmin|rds_\w+|rdsrepladmin|rdstopmgr|rdswriteforwarduser|cloudsql\w*|alloydb\w*|azuresu|azure_\w+|neon_superuser|cloud_admin|supabase_\w*admin)$/

/** Whether a role is a hosted service's own, by its whole name. */
export function isProviderRole(name: string): boolean {
  return providerRole.test(name)
}
