/** A way to back up: a script, run where `RunFolders` and the environment of the bed are. */
export type Pipeline = {
  readonly id: string
  readonly title: string
  readonly script: string
  /** Whether it stores something: those that do not are floors. */
  readonly stores: boolean
}

/** A backup by pgstow with so many streams. It reads nothing back, since none of the others does. */
export function pgstowBackup(jobs: number): Pipeline {
  return {
    id: `pgstow-${jobs}`,
    title: `pgstow, ${jobs} ${jobs === 1 ? "job" : "jobs"}`,
    script: `"$NODE" "$PGSTOW" backup --no-verify --jobs ${jobs}`,
    stores: true,
  }
}

export const backupPipelines: readonly Pipeline[] = [
  {
    id: "floor",
    title: "pg_dump -Fc -Z0 > /dev/null",
    script: "pg_dump -Fc -Z0 > /dev/null",
    stores: false,
  },
  {
    id: "two-streams",
    title: "pg_dump -Fd -j2 -Z0 to memory",
    script: 'pg_dump -Fd -j2 -Z0 -f "$MEMORY/dump"',
    stores: false,
  },
  {
    id: "sentinel",
    title: "Sentinel: plain, gzip -9, openssl",
    script: `
      pg_dump --no-owner --no-acl | gzip -9 |
        openssl enc -aes-256-cbc -salt -pbkdf2 -pass "file:$SENTINEL_KEY_FILE" -out "$OUT/backup.sql.gz.enc"
      sha256sum "$OUT/backup.sql.gz.enc" > "$OUT/backup.sql.gz.enc.sha256"`,
    stores: true,
  },
  {
    id: "emiti",
    title: "Emiti: in memory, gzip 9, Fernet",
    script: '"$PYTHON" "$EMITI" "$OUT/backup.sql.gz.enc"',
    stores: true,
  },
  {
    id: "gzip-age",
    title: "pg_dump -Fc | age",
    script: 'pg_dump -Fc | age -r "$PGSTOW_RECIPIENTS" -o "$OUT/backup.dump.age"',
    stores: true,
  },
  {
    id: "directory",
    title: "pg_dump -Fd -j2, then age, upload",
    script: `
      pg_dump -Fd -j2 -f "$SCRATCH/dump"
      tar -c -C "$SCRATCH" dump | age -r "$PGSTOW_RECIPIENTS" |
        "$NODE" "$UPLOADER" backup.tar.age "$(du -sb "$SCRATCH/dump" | cut -f 1)"`,
    stores: true,
  },
  ...[1, 2, 4].map(pgstowBackup),
]
