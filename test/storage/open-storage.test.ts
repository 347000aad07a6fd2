import { describe, expect, test } from "vitest"
import { openStorage } from "../../task/storage/open-storage.ts"
import { parseS3Url } from "../../task/storage/s3-url.ts"
import { failureOf } from "../support/failure.ts"

describe("a storage's URL", () => {
  test.each([
    "file:///var/backups",
    "file:///var/my%20backups/",
    "/var/backups",
    "./backups",
    "../backups",
    "s3://bucket",
    "s3://bucket/prefix",
    "s3://my.bucket-1/a/b/?region=eu-central-1&storage-class=STANDARD_IA",
  ])("%s is opened", (url) => {
    const storage = openStorage(url, { env: {} })
    expect(storage.url).not.toBe("")
    storage.close()
  })

  test.each<[url: string, message: string, hint: string]>([
    ["", "is not a storage", "s3://my-bucket/backups"],
    ["backups", '"backups" is not a storage', 'begins with "/" or "./"'],
    ["http://example.com/x", "http: is not a kind of storage", "s3://my-bucket/backups"],
    ["postgres://user:secret@host/db", "postgres: is not a kind of storage", "file:///var/backups"],
    ["file://backups/x", "names no folder", "three slashes"],
    ["file:backups", "names no folder", "three slashes"],
    ["file:///var/%2e%2e%2fx%2f", "names no folder", "three slashes"],
    ["file:///var/x?y=1", "has parameters", "three slashes"],
    ["file:///", "is the root of the file system", "below it"],
    ["/", "is the root of the file system", "below it"],
    ["/var/..", "is the root of the file system", "below it"],
    ["s3:", "names no bucket", "s3://my-bucket/backups"],
    ["s3:///prefix", "names no bucket", "s3://my-bucket/backups"],
    ["s3://b", "too short for a bucket's name", "at least 3"],
    ["s3://my bucket/x", "can't be read", "s3://my-bucket/backups"],
    ["s3://bucket:9000/x", "has no port", "endpoint=http://127.0.0.1:9000"],
    ["s3://bucket/a//b", "empty folder", "s3://my-bucket/backups"],
    ["s3://bucket/a%2f..%2fb", "empty folder, or one named . or ..", "s3://my-bucket/backups"],
    ["s3://bucket/a%0ab", "control characters", "s3://my-bucket/backups"],
    ["s3://bucket/%zz", '"%" that stands for nothing', "%25"],
    [`s3://bucket/${"x".repeat(121)}`, "longer than 120 bytes", "s3://my-bucket/backups"],
    ["s3://bucket/a#b", '"#" has no meaning here', "%23"],
    ["s3://bucket?regoin=x", 'unknown parameter "regoin"', "region, path-style"],
    ["s3://bucket?region=a&region=b", "region is given twice", "Leave one"],
    ["s3://bucket?region=", "region is empty", "leave it out"],
    ["s3://bucket?path-style=yes", 'path-style is "yes"', "path-style=true or path-style=false"],
    ["s3://bucket?write-once=1", 'write-once is "1"', "write-once=true or write-once=false"],
    ["s3://bucket?max-parts=0", 'max-parts is "0"', "from 1 to 10000"],
    ["s3://bucket?checksum=sha256", 'checksum is "sha256"', "checksum=md5"],
    ["s3://bucket?part-size=4", 'part-size is "4"', "from 8 to 5120"],
    ["s3://bucket?max-parts=1e9", 'max-parts is "1e9"', "from 1 to 10000"],
    ["s3://bucket?storage-class=DEEP_ARCHIVE", "can't be read back", "GLACIER_IR"],
    ["s3://bucket?endpoint=localhost:9000", "not an http URL", "endpoint=http://127.0.0.1:9000"],
    ["s3://bucket?endpoint=http://h/?a", "parameters of its own", "endpoint=http://127.0.0.1:9000"],
    ["s3://bucket?profile=a&credentials=B", "exclude each other", "Leave one"],
    ["s3://bucket?credentials=minio", "not a name of capital letters", "NAME_ACCESS_KEY"],
    ["s3://bucket?credentials=MINIO", "MINIO_ACCESS_KEY is not set", "MINIO_SECRET_KEY"],
    ["s3://bucket?credentials=HALF", "HALF_SECRET_KEY is not set", "HALF_SECRET_KEY"],
  ])("%s is refused: %s", (url, message, hint) => {
    const failure = failureOf(() => openStorage(url, { env: { HALF_ACCESS_KEY: "x" } }))
    expect(failure).toMatchObject({ kind: "usage" })
    expect(failure.message).toContain(message)
    expect(failure.hint).toContain(hint)
  })

  test.each(["s3://key:secret@bucket/x", "s3://bucket?endpoint=http://key:secret@127.0.0.1:9000"])(
    "%s is refused without repeating the secret",
    (url) => {
      const failure = failureOf(() => openStorage(url, { env: {} }))
      expect(failure.message).toContain("holds a user name or password")
      expect(`${failure.message} ${failure.hint}`).not.toMatch(/secret@|key:/)
    },
  )
})

describe("what an S3 storage is opened with", () => {
  test("is AWS, its default chain of credentials and 10,000 parts, where nothing else is said", () => {
    expect(parseS3Url("s3://bucket/a/b/", { HOME: "/home/me" })).toEqual({
      url: "s3://bucket/a/b",
      bucket: "bucket",
      prefix: "a/b/",
      endpoint: undefined,
      isAws: true,
      checksum: "crc32",
      region: undefined,
      pathStyle: false,
      storageClass: undefined,
      kmsKey: undefined,
      maxParts: 10_000,
      partBytes: undefined,
      writeOnce: false,
      profile: undefined,
      configFiles: ["/home/me/.aws/config", "/home/me/.aws/credentials"],
      network: { proxies: {}, authorities: undefined },
      proxy: undefined,
      credentials: undefined,
    })
  })

  test("is what the URL says", () => {
    const url =
      "s3://bucket/a?endpoint=http://127.0.0.1:9000/&region=eu-central-1&path-style=false&max-parts=1000&part-size=64&write-once=true" +
      "&storage-class=STANDARD_IA&sse-kms-key=arn:aws:kms:eu-central-1:123456789012:key/k&credentials=MINIO"
    const env = {
      MINIO_ACCESS_KEY: "id",
      MINIO_SECRET_KEY: "secret",
      MINIO_SESSION_TOKEN: "token",
      AWS_REGION: "us-west-2",
      AWS_PROFILE: "other",
      AWS_ENDPOINT_URL_S3: "http://127.0.0.1:1",
      AWS_CONFIG_FILE: "/etc/aws/config",
      AWS_SHARED_CREDENTIALS_FILE: "/etc/aws/credentials",
      HTTP_PROXY: "http://me:secret@proxy.example.com:3128",
    }
    expect(parseS3Url(url, env)).toEqual({
      url: "s3://bucket/a?endpoint=http://127.0.0.1:9000",
      bucket: "bucket",
      prefix: "a/",
      endpoint: "http://127.0.0.1:9000",
      isAws: false,
      checksum: "md5",
      region: "eu-central-1",
      pathStyle: false,
      storageClass: "STANDARD_IA",
      kmsKey: "arn:aws:kms:eu-central-1:123456789012:key/k",
      maxParts: 1000,
      partBytes: 64 * 1024 * 1024,
      writeOnce: true,
      profile: undefined,
      configFiles: ["/etc/aws/config", "/etc/aws/credentials"],
      network: { proxies: { HTTP_PROXY: "http://me:secret@proxy.example.com:3128" }, authorities: undefined },
      proxy: "http://proxy.example.com:3128",
      credentials: { accessKeyId: "id", secretAccessKey: "secret", sessionToken: "token" },
    })
  })

  test.each([
    "https://s3.eu-central-1.amazonaws.com",
    "https://bucket.vpce-1a2b3c-5e6f.s3.us-east-1.vpce.amazonaws.com",
    "https://s3.cn-north-1.amazonaws.com.cn",
  ])("is AWS behind an endpoint of AWS's own, %s", (endpoint) => {
    expect(parseS3Url(`s3://bucket?endpoint=${endpoint}`, {})).toMatchObject({
      isAws: true,
      checksum: "crc32",
    })
    const elsewhere = `s3://bucket?endpoint=${endpoint}.example.com&checksum=crc32`
    expect(parseS3Url(elsewhere, {})).toMatchObject({ isAws: false, checksum: "crc32" })
  })

  test("is what AWS's own variables say, where the URL does not", () => {
    const keys = { AWS_ACCESS_KEY_ID: "id", AWS_SECRET_ACCESS_KEY: "secret" }
    expect(parseS3Url("s3://bucket", { AWS_DEFAULT_REGION: "eu-west-1", ...keys })).toMatchObject({
      region: "eu-west-1",
      credentials: { accessKeyId: "id", secretAccessKey: "secret" },
    })
    expect(parseS3Url("s3://bucket", { AWS_ENDPOINT_URL: "http://127.0.0.1:9000" })).toMatchObject({
      endpoint: "http://127.0.0.1:9000",
      region: "us-east-1",
      pathStyle: true,
    })
    expect(parseS3Url("s3://bucket", { AWS_PROFILE: "work", ...keys })).toMatchObject({
      profile: "work",
      credentials: undefined,
    })
    expect(parseS3Url("s3://bucket?profile=home", { AWS_PROFILE: "work", ...keys })).toMatchObject({
      profile: "home",
      credentials: undefined,
    })
  })
})
