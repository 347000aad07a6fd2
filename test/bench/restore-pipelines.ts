import type { Pipeline } from "./backup-pipelines.ts"

/** What the restores read, made once from one database: a script that leaves it in FILES, and pgstow's in its storage. */
export const restoreSources = `
  pg_dump --no-owner --no-acl | gzip -9 |
    openssl enc -aes-256-cbc -salt -pbkdf2 -pass "file:$SENTINEL_KEY_FILE" -out "$FILES/backup.sql.gz.enc"
  pg_dump -Fc -Z0 | zstd -q -1 > "$FILES/backup.dump.zst"
  "$NODE" "$PGSTOW" backup --no-verify --jobs 2`

const create = 'createdb -T template0 "$TARGET"\n'

/** Ways to restore into the database TARGET, which is not there yet. */
export const restorePipelines: readonly Omit<Pipeline, "stores">[] = [
  {
    id: "sentinel",
    title: "Sentinel: openssl, gunzip, psql",
    script: `${create}
      openssl enc -d -aes-256-cbc -pbkdf2 -pass "file:$SENTINEL_KEY_FILE" -in "$FILES/backup.sql.gz.enc" | gunzip |
        psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -d "$TARGET"`,
  },
  {
    id: "stream",
    title: "zstd -d | pg_restore",
    script: `${create} zstd -q -d < "$FILES/backup.dump.zst" | pg_restore --exit-on-error -d "$TARGET"`,
  },
  {
    id: "file",
    title: "zstd -d to a file, pg_restore -j2",
    script: `${create}
      zstd -q -d "$FILES/backup.dump.zst" -o "$SCRATCH/backup.dump"
      pg_restore --exit-on-error -j2 -d "$TARGET" "$SCRATCH/backup.dump"`,
  },
  ...[1, 2].map((jobs) => ({
    id: `pgstow-${jobs}`,
    title: `pgstow, ${jobs} ${jobs === 1 ? "job" : "jobs"}`,
    script: `"$NODE" "$PGSTOW" restore latest --into "$TARGET" --no-analyze --yes --jobs ${jobs}`,
  })),
]
