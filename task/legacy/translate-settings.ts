import { pathToFileURL } from "node:url"

export type Environment = Readonly<Record<string, string | undefined>>

/** One of pgstow's settings that does what settings of an older system did. */
export type TranslatedSetting = {
  readonly name: string
  readonly value: string
  /** The older names that it comes from. */
  readonly from: readonly string[]
  /** pgstow's own settings that say the same: where one of them is there, this one is not wanted. */
  readonly unless: readonly string[]
}

/** Sentences name settings and never their values, which may be secret. */
export type Translation = {
  readonly settings: readonly TranslatedSetting[]
  /** What pgstow does in another way. */
  readonly differences: readonly string[]
  /** What has no meaning, or two. */
  readonly problems: readonly string[]
}

/** What Emiti reads. */
export const emitiNames = "DATABASE_URL ENCRYPTION_KEY BACKUP_DIR BACKUP_RETENTION".split(" ")

/** What Sentinel reads. */
export const sentinelNames = (
  "POSTGRES_CONTAINER POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB POSTGRES_HOST POSTGRES_PORT " +
  "BACKUP_DIR BACKUP_RETENTION_DAYS BACKUP_COMPRESSION_LEVEL S3_ENABLED S3_BUCKET S3_STORAGE_CLASS S3_REGION " +
  "MINIO_ENABLED MINIO_ENDPOINT MINIO_BUCKET MINIO_ACCESS_KEY MINIO_SECRET_KEY ENCRYPT_ENABLED " +
  "ENCRYPTION_KEY_PATH WEBHOOK_ENABLED WEBHOOK_URL NOTIFICATION_LEVEL LOG_LEVEL LOG_FILE LOG_TO_FILE LOG_TO_STDOUT"
).split(" ")

/** Finds the settings of pgstow's that do what those of Emiti and Sentinel in `env` did. */
export function translateSettings(env: Environment): Translation {
  const settings: TranslatedSetting[] = []
  const differences: string[] = []
  const problems: string[] = []
  const older: Older = {
    differs: (what) => differences.push(what),
    problem: (what) => problems.push(what),
    get: (name) => env[name] || undefined,
    given: (names) => names.filter((name) => env[name]),
    isOn: (name) => {
      const text = env[name]?.toLowerCase() ?? ""
      if (["true", "yes", "on", "1"].includes(text)) return true
      if (!["", "false", "no", "off", "0"].includes(text)) problems.push(`${name} is neither true nor false.`)
      return false
    },
    translate: (from, name, value, unless = [name]) =>
      settings.push({ name, value, from: older.given(from), unless }),
  }
  for (const part of [connection, storages, retention, compression, encryption, notifications, logging])
    part(older)
  return { settings, differences, problems }
}

/** The settings of an older system, and what there is to say of them. */
type Older = {
  /** An empty setting is none. */
  readonly get: (name: string) => string | undefined
  /** Those of `names` that are set. */
  readonly given: (names: readonly string[]) => string[]
  /** Reads a switch as shell scripts have them. */
  readonly isOn: (name: string) => boolean
  readonly translate: (
    from: readonly string[],
    name: string,
    value: string,
    unless?: readonly string[],
  ) => void
  readonly differs: (what: string) => void
  readonly problem: (what: string) => void
}

const connectionNames = {
  POSTGRES_HOST: "PGHOST",
  POSTGRES_PORT: "PGPORT",
  POSTGRES_USER: "PGUSER",
  POSTGRES_PASSWORD: "PGPASSWORD",
  POSTGRES_DB: "PGDATABASE",
}

function connection({ get, given, translate, problem }: Older) {
  const own = ["DATABASE_URL", "PGSERVICE", ...Object.values(connectionNames)]
  for (const [from, name] of Object.entries(connectionNames)) {
    const value = get(from)
    if (value !== undefined) translate([from], name, value, own)
  }
  const names = given(Object.keys(connectionNames))
  if (get("DATABASE_URL") && names.length > 0)
    problem(`DATABASE_URL and ${names.join(", ")} both say where the database is: DATABASE_URL is taken.`)
  const port = get("POSTGRES_PORT")
  if (port && !(Number(port) >= 1 && Number(port) <= 65_535)) problem("POSTGRES_PORT is no port.")

  const [container, host] = [get("POSTGRES_CONTAINER"), get("POSTGRES_HOST")]
  if (container === undefined) return
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(container))
    return problem("POSTGRES_CONTAINER is no container's name.")
  translate(["POSTGRES_CONTAINER"], "PGSTOW_EXEC", `docker exec -i ${container}`, ["PGSTOW_EXEC", ...own])
  if (host !== undefined && !["localhost", "127.0.0.1"].includes(host))
    problem(
      "POSTGRES_CONTAINER and POSTGRES_HOST contradict each other, unless the container reaches another host.",
    )
}

function storages(older: Older) {
  const urls = [folderUrl(older), s3Url(older), minioUrl(older)].filter((url) => url !== undefined)
  const from =
    "BACKUP_DIR S3_ENABLED S3_BUCKET S3_REGION S3_STORAGE_CLASS MINIO_ENABLED MINIO_ENDPOINT MINIO_BUCKET"
  if (urls.length > 0) older.translate(from.split(" "), "PGSTOW_STORAGE", urls.join(" "))
}

function folderUrl({ get, problem }: Older): string | undefined {
  const folder = get("BACKUP_DIR")
  if (folder?.startsWith("/")) return pathToFileURL(folder).href
  if (folder && /^~|\s/.test(folder)) problem("BACKUP_DIR is not a whole path: write it from / on.")
  else if (folder) return /^\.{1,2}\//.test(folder) ? folder : `./${folder}`
  return undefined
}

function s3Url({ get, isOn, differs, problem }: Older): string | undefined {
  const [bucket, region] = [get("S3_BUCKET"), get("S3_REGION")]
  const enabled = isOn("S3_ENABLED")
  if (!enabled && bucket) differs("S3_BUCKET is left out: S3_ENABLED is not true.")
  if (enabled && !bucket) problem("S3_ENABLED is true, and there is no S3_BUCKET.")
  if (!enabled || !bucket) return undefined
  const storageClass = get("S3_STORAGE_CLASS") ?? "STANDARD_IA"
  const offline = ["GLACIER", "DEEP_ARCHIVE"].includes(storageClass)
  if (offline)
    problem(
      "S3_STORAGE_CLASS can't be read back at once, and is left out: use GLACIER_IR, or a lifecycle rule.",
    )
  return bucketUrl(bucket, {
    ...(region ? { region } : {}),
    ...(offline ? {} : { "storage-class": storageClass }),
  })
}

function minioUrl({ get, given, isOn, differs, problem }: Older): string | undefined {
  const needed = ["MINIO_ENDPOINT", "MINIO_BUCKET", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"]
  const missing = needed.filter((name) => !given(needed).includes(name))
  const [endpoint = "", bucket = ""] = needed.map(get)
  if (!isOn("MINIO_ENABLED")) {
    if (bucket) differs("MINIO_BUCKET is left out: MINIO_ENABLED is not true.")
  } else if (missing.length > 0) problem(`MINIO_ENABLED is true, and there is no ${missing.join(", no ")}.`)
  else if (/^https?:\/\/[^?#&\s]+$/.test(endpoint))
    return bucketUrl(bucket, { endpoint, credentials: "MINIO" })
  else if (/^[\w.-]+(:\d+)?$/.test(endpoint)) {
    differs("MINIO_ENDPOINT does not say how to reach it: http:// is taken. Write https:// where it has TLS.")
    return bucketUrl(bucket, { endpoint: `http://${endpoint}`, credentials: "MINIO" })
  } else problem("MINIO_ENDPOINT is neither a host with its port nor an http:// or https:// URL.")
  return undefined
}

function bucketUrl(bucket: string, parameters: Record<string, string>): string {
  const query = Object.entries(parameters).map(([name, value]) => `${name}=${value}`)
  return `s3://${bucket.replace(/^s3:\/\//, "").replace(/\/+$/, "")}${query.length > 0 ? `?${query.join("&")}` : ""}`
}

function retention({ get, given, translate, differs, problem }: Older) {
  const names = given(["BACKUP_RETENTION", "BACKUP_RETENTION_DAYS"])
  const values = new Set(names.map(get))
  const [days] = values
  if (days === undefined) return
  if (values.size > 1) return problem(`${names.join(" and ")} differ.`)
  if (!/^[1-9]\d*$/.test(days)) return problem(`${names.join(" and ")}: no number of days.`)
  const rules = ["LAST", "DAYS", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"].map((rule) => `PGSTOW_KEEP_${rule}`)
  translate(names, "PGSTOW_KEEP_DAYS", days, rules)
  differs("Retention counts verified backups only, and the newest of them always stays.")
}

function compression({ get, differs }: Older) {
  if (get("BACKUP_COMPRESSION_LEVEL"))
    differs(
      "BACKUP_COMPRESSION_LEVEL is gzip's, and pgstow compresses by zstd: its level 1, the default, makes smaller files than gzip 9. PGSTOW_COMPRESS_LEVEL takes 1 to 19.",
    )
}

function encryption({ get, isOn, differs, problem }: Older) {
  const enabled = isOn("ENCRYPT_ENABLED")
  if (enabled && !get("ENCRYPTION_KEY_PATH"))
    problem("ENCRYPT_ENABLED is true, and there is no ENCRYPTION_KEY_PATH.")
  if (!enabled && get("ENCRYPT_ENABLED"))
    differs(
      "ENCRYPT_ENABLED is not true, and pgstow encrypts all the same, unless it is told PGSTOW_UNENCRYPTED=true.",
    )
  if (enabled || get("ENCRYPTION_KEY"))
    differs("New backups are sealed for age recipients, and the machine that writes them can't read them.")
  for (const [name, system] of [
    ["ENCRYPTION_KEY", "Emiti"],
    ["ENCRYPTION_KEY_PATH", "Sentinel"],
  ])
    if (name && get(name))
      differs(`${name} opens the files that ${system} left behind, and seals nothing any more.`)
}

function notifications({ get, isOn, translate, differs, problem }: Older) {
  const [url, level = "all"] = [get("WEBHOOK_URL"), get("NOTIFICATION_LEVEL")]
  const enabled = isOn("WEBHOOK_ENABLED")
  if (!enabled && url) return differs("WEBHOOK_URL is left out: WEBHOOK_ENABLED is not true.")
  if (!enabled) return
  if (!url) return problem("WEBHOOK_ENABLED is true, and there is no WEBHOOK_URL.")
  if (!["all", "error", "none"].includes(level))
    return problem("NOTIFICATION_LEVEL is not one of all, error, none.")
  if (level === "none")
    problem("WEBHOOK_ENABLED is true, and NOTIFICATION_LEVEL none: nobody is told anything.")
  const from = ["WEBHOOK_ENABLED", "WEBHOOK_URL", "NOTIFICATION_LEVEL"]
  translate(from, "PGSTOW_NOTIFY", level === "all" ? url : `level=${level},${url}`)
}

function logging({ get, isOn, translate, differs, problem }: Older) {
  const level = get("LOG_LEVEL")?.toLowerCase().replace("warning", "warn").replace("critical", "error")
  if (level && level !== get("LOG_LEVEL")) translate(["LOG_LEVEL"], "LOG_LEVEL", level, [])
  const toFile = isOn("LOG_TO_FILE")
  if (toFile && !get("LOG_FILE")) problem("LOG_TO_FILE is true, and there is no LOG_FILE.")
  if (!toFile && get("LOG_TO_FILE")) translate(["LOG_TO_FILE"], "LOG_FILE", "", [])
  if (!isOn("LOG_TO_STDOUT") && get("LOG_TO_STDOUT"))
    differs("LOG_TO_STDOUT is not true, and pgstow always logs to standard error too.")
}
