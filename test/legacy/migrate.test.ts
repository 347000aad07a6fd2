import { parseEnv } from "node:util"
import { describe, expect, test } from "vitest"
import { adoptLegacyNames } from "../../task/legacy/adopt-names.ts"
import { formatEnvFile, formatMigration, migrate } from "../../task/legacy/migrate.ts"
import { parseChannels } from "../../task/notify/channel.ts"
import { readSettings } from "../../task/settings/config.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import { failureOf } from "../support/failure.ts"

const emiti = `
DATABASE_URL=postgresql://emiti:s3cret@db.example.com/emiti_metrics
ENCRYPTION_KEY="any text will do"
BACKUP_DIR=/var/backups/emiti
BACKUP_RETENTION=14
`
const sentinel = `
# Sentinel
export POSTGRES_CONTAINER=sentinel-db
POSTGRES_USER=sentinel
POSTGRES_DB=sentinel_db
POSTGRES_PORT=5432
BACKUP_DIR="/var/backups/with space"
BACKUP_COMPRESSION_LEVEL=9
S3_ENABLED=true
S3_BUCKET=acme-backups
S3_REGION=eu-central-1
MINIO_ENABLED=yes
MINIO_ENDPOINT=http://minio:9000
MINIO_BUCKET=backups
MINIO_ACCESS_KEY=minio
MINIO_SECRET_KEY=minio-s3cret
ENCRYPT_ENABLED=true
ENCRYPTION_KEY_PATH=/etc/sentinel.key
WEBHOOK_ENABLED=true
WEBHOOK_URL=https://hooks.slack.com/services/s3cret
NOTIFICATION_LEVEL=error
LOG_LEVEL=WARNING
LOG_FILE=/var/log/sentinel.log
LOG_TO_FILE=false
`

describe("migrate", () => {
  test("an endpoint of MinIO's without a scheme is one, and its scheme is said", () => {
    const { settings, differences } = migrate(
      "MINIO_ENABLED=true\nMINIO_BUCKET=backups\nMINIO_ENDPOINT=m:9000\nMINIO_ACCESS_KEY=a\nMINIO_SECRET_KEY=b",
    )
    const storage = settings.find(({ name }) => name === "PGSTOW_STORAGE")?.value ?? ""
    expect(openStorage(storage, { env: { MINIO_ACCESS_KEY: "a", MINIO_SECRET_KEY: "b" } }).url).toBe(
      "s3://backups?endpoint=http://m:9000",
    )
    expect(differences.join()).toContain("http:// is taken")
  })

  test("that recipients are missing is said, unless there are some or none are wanted", () => {
    const problem = expect.stringContaining("PGSTOW_RECIPIENTS is missing") as string
    expect(migrate(emiti).problems).toContainEqual(problem)
    for (const own of ["PGSTOW_RECIPIENTS=age1x", "PGSTOW_UNENCRYPTED=true"])
      expect(migrate(`${emiti}\n${own}`).problems).not.toContainEqual(problem)
  })

  test("an environment of Emiti's becomes settings that do the same", () => {
    const migration = migrate(emiti)
    expect(migration.system).toBe("Emiti")
    expect(values(migration)).toEqual({
      DATABASE_URL: "postgresql://emiti:s3cret@db.example.com/emiti_metrics",
      ENCRYPTION_KEY: "any text will do",
      PGSTOW_STORAGE: "file:///var/backups/emiti",
      PGSTOW_KEEP_DAYS: "14",
      PGSTOW_CLEANUP: "true",
    })
    expect(migration.problems).toEqual([expect.stringContaining("PGSTOW_RECIPIENTS is missing")])
    expect(migration.problems.join("\n")).toContain("run `pgstow keygen --out pgstow.key`")
  })

  test("an environment of Sentinel's does too", () => {
    const migration = migrate(sentinel)
    expect(migration.system).toBe("Sentinel")
    expect(values(migration)).toEqual({
      MINIO_ACCESS_KEY: "minio",
      MINIO_SECRET_KEY: "minio-s3cret",
      ENCRYPTION_KEY_PATH: "/etc/sentinel.key",
      PGUSER: "sentinel",
      PGDATABASE: "sentinel_db",
      PGPORT: "5432",
      PGSTOW_EXEC: "docker exec -i sentinel-db",
      PGSTOW_STORAGE:
        "file:///var/backups/with%20space s3://acme-backups?region=eu-central-1&storage-class=STANDARD_IA s3://backups?endpoint=http://minio:9000&credentials=MINIO",
      PGSTOW_KEEP_DAYS: "7",
      PGSTOW_NOTIFY: "level=error,https://hooks.slack.com/services/s3cret",
      PGSTOW_CLEANUP: "true",
      LOG_LEVEL: "warn",
    })
    expect(migration.problems).toEqual([expect.stringContaining("PGSTOW_RECIPIENTS is missing")])
    expect(migration.differences.join("\n")).toContain("BACKUP_COMPRESSION_LEVEL is gzip's")
  })

  test("pgstow reads what was written", () => {
    const env = parseEnv(formatEnvFile(migrate(sentinel)))
    const { storage, logLevel, keepDays } = readSettings({}, env)
    expect(storage.map((url) => openStorage(url, { env }).url)).toEqual([
      "file:///var/backups/with%20space",
      "s3://acme-backups",
      "s3://backups?endpoint=http://minio:9000",
    ])
    expect({ logLevel, keepDays }).toEqual({ logLevel: "warn", keepDays: 7 })
    expect(parseChannels([env.PGSTOW_NOTIFY ?? ""])).toMatchObject([{ kind: "slack", level: "error" }])
    expect(parseEnv(formatEnvFile(migrate(emiti)))).toMatchObject({ ENCRYPTION_KEY: "any text will do" })
  })

  test("values with quotes and the like are written so that they can be read back, or refused", () => {
    for (const key of ["it's", 'say "so"', "a # b", "50 % $x", "\\", "ä€𝕏"]) {
      const text = formatEnvFile({
        ...migrate(emiti),
        settings: [{ name: "ENCRYPTION_KEY", value: key, from: [] }],
      })
      expect(parseEnv(text).ENCRYPTION_KEY).toBe(key)
    }
    const both = { ...migrate(emiti), settings: [{ name: "ENCRYPTION_KEY", value: `it's "so"`, from: [] }] }
    expect(failureOf(() => formatEnvFile(both)).message).not.toContain('so"')
  })

  test("what is printed shows no secret", () => {
    for (const text of [emiti, sentinel]) {
      const printed = formatMigration(migrate(text))
      expect(printed).not.toMatch(/s3cret|any text/)
      expect(printed).toContain("PGSTOW_STORAGE")
    }
  })

  test.each([
    ["COLOUR=red\nBACKUP_RETENTION=3", "COLOUR is not known, and left out."],
    ["BACKUP_RETENTION=3\nBACKUP_RETENTION_DAYS=4", "BACKUP_RETENTION and BACKUP_RETENTION_DAYS differ."],
    ["BACKUP_RETENTION=forever", "BACKUP_RETENTION: no number of days."],
    [
      "BACKUP_RETENTION=3\nPOSTGRES_DB=x",
      "The file has settings of both systems: BACKUP_RETENTION of Emiti's, POSTGRES_DB of Sentinel's.",
    ],
    [
      "DATABASE_URL=postgres://x\nPOSTGRES_DB=x",
      "DATABASE_URL and POSTGRES_DB both say where the database is",
    ],
    ["POSTGRES_PORT=none", "POSTGRES_PORT is no port."],
    ["POSTGRES_CONTAINER=a\nPOSTGRES_HOST=db", "POSTGRES_CONTAINER and POSTGRES_HOST contradict each other"],
    ["POSTGRES_CONTAINER=a;b", "POSTGRES_CONTAINER is no container's name."],
    ["POSTGRES_DB=x\nBACKUP_DIR=~/backups", "BACKUP_DIR is not a whole path"],
    ["POSTGRES_DB=x\nBACKUP_DIR=$HOME/backups", "BACKUP_DIR has a $ or a backquote in it"],
    ["S3_ENABLED=true", "S3_ENABLED is true, and there is no S3_BUCKET."],
    ["S3_ENABLED=maybe", "S3_ENABLED is neither true nor false."],
    ["S3_ENABLED=true\nS3_BUCKET=b\nS3_STORAGE_CLASS=GLACIER", "S3_STORAGE_CLASS can't be read back at once"],
    [
      "MINIO_ENABLED=true\nMINIO_BUCKET=b",
      "there is no MINIO_ENDPOINT, no MINIO_ACCESS_KEY, no MINIO_SECRET_KEY.",
    ],
    [
      "MINIO_ENABLED=true\nMINIO_BUCKET=b\nMINIO_ENDPOINT=ftp://m:9000\nMINIO_ACCESS_KEY=a\nMINIO_SECRET_KEY=b",
      "MINIO_ENDPOINT is neither a host with its port nor",
    ],
    ["ENCRYPT_ENABLED=true", "ENCRYPT_ENABLED is true, and there is no ENCRYPTION_KEY_PATH."],
    ["WEBHOOK_ENABLED=true", "WEBHOOK_ENABLED is true, and there is no WEBHOOK_URL."],
    ["WEBHOOK_ENABLED=true\nWEBHOOK_URL=https://x\nNOTIFICATION_LEVEL=none", "nobody is told anything"],
    [
      "WEBHOOK_ENABLED=true\nWEBHOOK_URL=https://x\nNOTIFICATION_LEVEL=loud",
      "NOTIFICATION_LEVEL is not one of",
    ],
    ["LOG_TO_FILE=true", "LOG_TO_FILE is true, and there is no LOG_FILE."],
  ])("%j is named", (text, problem) => {
    expect(migrate(text).problems.join("\n")).toContain(problem)
  })

  test.each([
    ["POSTGRES_DB=x\nS3_BUCKET=b", "S3_BUCKET is left out"],
    ["POSTGRES_DB=x\nMINIO_BUCKET=b", "MINIO_BUCKET is left out"],
    ["WEBHOOK_ENABLED=false\nWEBHOOK_URL=https://x", "WEBHOOK_URL is left out"],
    ["ENCRYPT_ENABLED=false", "pgstow encrypts all the same"],
    ["LOG_TO_STDOUT=false", "always logs to standard error"],
    ["POSTGRES_DB=x", "BACKUP_DIR is not set"],
    ["POSTGRES_DB=x", "restore --no-owner --no-acl"],
  ])("%j will differ", (text, difference) => {
    expect(migrate(text).differences.join("\n")).toContain(difference)
  })

  test("a file of neither is refused", () => {
    const none = "the file has no setting of Emiti or Sentinel"
    for (const text of [
      "FOO=bar",
      "",
      "DATABASE_URL=postgres://x",
      "LOG_LEVEL=info\nLOG_FILE=/var/log/app",
      "DATABASE_URL=postgres://x\nPGSTOW_STORAGE=file:///b\nPGSTOW_RECIPIENTS=age1x",
    ])
      expect(failureOf(() => migrate(text)).message).toBe(none)
    for (const text of ["DATABASE_URL=postgres://x\nBACKUP_DIR=/b", "ENCRYPTION_KEY=k"])
      expect(migrate(text).system).toBe("Emiti")
  })
})

describe("names of the older systems in the environment", () => {
  test("are read as pgstow's, and each is noted with the name to use instead", () => {
    const { env, notes } = adoptLegacyNames(parseEnv(sentinel))
    expect(env).toMatchObject({
      PGDATABASE: "sentinel_db",
      PGSTOW_EXEC: "docker exec -i sentinel-db",
      LOG_FILE: "",
    })
    expect(notes).toContain("POSTGRES_DB is read as PGDATABASE: use that name instead")
    expect(notes).toContain("S3_BUCKET is read as PGSTOW_STORAGE: use that name instead")
    expect(notes).toHaveLength(new Set(notes).size)
    expect(notes.join()).not.toMatch(/s3cret|COMPRESSION|ENCRYPT/)
  })

  test("stand behind pgstow's own, and behind each other's whole", () => {
    const own = {
      DATABASE_URL: "postgres://x",
      PGSTOW_STORAGE: "/x",
      PGSTOW_KEEP_DAILY: "7",
      PGSTOW_NOTIFY: "https://x",
    }
    const { env, notes } = adoptLegacyNames({ ...parseEnv(sentinel), ...own })
    expect(env).toMatchObject(own)
    expect(env).not.toHaveProperty("PGDATABASE")
    expect(env).not.toHaveProperty("PGSTOW_EXEC")
    expect(env).not.toHaveProperty("PGSTOW_KEEP_DAYS")
    expect(notes).toEqual(["LOG_TO_FILE is read as LOG_FILE: use that name instead"])
  })

  test("an environment without them stays as it is", () => {
    const env = { PATH: "/bin", PGHOST: "db", LOG_LEVEL: "info" }
    expect(adoptLegacyNames(env)).toEqual({ env, notes: [] })
  })
})

function values({ settings }: ReturnType<typeof migrate>): Record<string, string> {
  return Object.fromEntries(settings.map(({ name, value }) => [name, value]))
}
