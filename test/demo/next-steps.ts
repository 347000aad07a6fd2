/** What to type next, with a database of one's own: the demo's last lines. */
export const nextSteps = `\
  export DATABASE_URL='postgresql://user:password@host/name' PGSTOW_STORAGE='file:///var/backups/pgstow'
  npx pgstow backup --recipient "$(npx pgstow keygen --out pgstow.key)"
  npx pgstow restore latest --identity pgstow.key --into name_restored`
