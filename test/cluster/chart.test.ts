import { readFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { beforeAll, describe, expect, onTestFinished, test } from "vitest"
import { parse } from "yaml"
import * as z from "zod"
import { compareDatabases } from "../support/compare-databases.ts"
import { runPgstow } from "../support/pgstow.ts"
import { startS3Endpoint } from "../support/s3-endpoint.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { setScene } from "../support/scene.ts"
import {
  chart,
  kubernetesVersions,
  lintChart,
  type Manifest,
  manifestsOf,
  problemsOf,
  renderChart,
} from "./chart-tools.ts"

const minimal = {
  image: { repository: "registry.example.com/pgstow" },
  database: { secret: { name: "orders-db" } },
  storage: { urls: ["s3://my-bucket/pgstow?region=eu-central-1"] },
  recipients: ["age1abc"],
}

const everything = {
  image: { repository: "registry.example.com/pgstow", tag: "1", pullPolicy: "Always" },
  imagePullSecrets: [{ name: "registry" }],
  database: { secret: { name: "orders-db", key: "url" }, name: "orders" },
  storage: {
    urls: ["s3://my-bucket/pgstow?region=eu-central-1", "file:///backups/orders"],
    secret: "bucket-key",
    claim: "backups",
  },
  recipients: ["age1abc", "age1def"],
  backup: { schedule: "@daily", timeZone: "Europe/Berlin", args: ["--jobs", "2"] },
  keep: { daily: 7, weekly: 5, monthly: 12 },
  identity: { secret: { name: "private-key" } },
  drill: {
    enabled: true,
    image: { repository: "registry.example.com/pgstow-drill" },
    scratch: { size: "50Gi", storageClassName: "gp3" },
  },
  restore: {
    enabled: true,
    into: "orders_restored",
    database: { secret: { name: "admin-db" } },
    args: ["--no-owner"],
  },
  notify: { secret: { name: "channels" } },
  serviceAccount: { annotations: { "eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/pgstow" } },
  networkPolicy: {
    to: [{ ipBlock: { cidr: "10.0.0.0/8" } }],
    egress: [{ ports: [{ protocol: "TCP", port: 9000 }] }],
  },
  podLabels: { team: "shop" },
  podAnnotations: { "example.com/scrape": "false" },
  nodeSelector: { "kubernetes.io/arch": "arm64" },
  tolerations: [{ key: "batch", operator: "Exists" }],
  affinity: { nodeAffinity: {} },
  priorityClassName: "low",
  env: [{ name: "PGSTOW_JOBS", value: "2" }],
  volumes: [{ name: "ca", configMap: { name: "ca" } }],
  volumeMounts: [{ name: "ca", mountPath: "/etc/ca", readOnly: true }],
}

const envSchema = z.array(
  z.object({
    name: z.string(),
    value: z.string().optional(),
    valueFrom: z
      .object({ secretKeyRef: z.object({ name: z.string(), key: z.string() }) })
      .strict()
      .optional(),
  }),
)
const podSchema = z.looseObject({
  metadata: z.looseObject({ labels: z.record(z.string(), z.string()) }),
  spec: z.looseObject({
    containers: z.tuple([z.looseObject({ image: z.string(), args: z.array(z.string()), env: envSchema })]),
  }),
})
const jobSchema = z.object({ spec: z.object({ template: podSchema }) })
const cronJobSchema = z.object({ spec: z.object({ jobTemplate: jobSchema }) })

type Pod = z.infer<typeof podSchema>

/** The pods of a rendered chart, by what they do. */
function podsOf(manifests: readonly Manifest[]): ReadonlyMap<string, Pod> {
  const pods = manifests.flatMap((manifest) => {
    if (manifest.kind === "CronJob") return [cronJobSchema.parse(manifest).spec.jobTemplate.spec.template]
    return manifest.kind === "Job" ? [jobSchema.parse(manifest).spec.template] : []
  })
  return new Map(pods.map((pod) => [pod.metadata.labels["app.kubernetes.io/component"] ?? "", pod]))
}

function podOf(manifests: readonly Manifest[], component: string): Pod {
  const pod = podsOf(manifests).get(component)
  if (!pod) throw new Error(`there is no pod for ${component}`)
  return pod
}

// Helm is built by the first that needs it.
beforeAll(() => lintChart(minimal), 900_000)

test("the chart is of the program's version", async () => {
  const { version } = z
    .object({ version: z.string() })
    .parse(JSON.parse(await readFile(resolve(chart, "../../../package.json"), "utf8")))
  const about: unknown = parse(await readFile(join(chart, "Chart.yaml"), "utf8"))
  expect(about).toMatchObject({ appVersion: version, version })
})

describe.each([
  ["what must be given", minimal],
  ["everything", everything],
])("with %s", (_, values) => {
  test("helm lint finds nothing", async () => {
    expect(await lintChart(values)).toContain("0 chart(s) failed")
  })

  test.each(kubernetesVersions)("Kubernetes %s takes every object", async (version) => {
    expect(await problemsOf(await renderChart(values, version), version)).toBe("")
  })

  test("every pod is kept from all that it does not need", async () => {
    const pods = podsOf(manifestsOf(await renderChart(values)))
    expect(pods.size).toBe(values === minimal ? 1 : 3)
    for (const pod of pods.values())
      expect(pod.spec).toMatchObject({
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        restartPolicy: "Never",
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 65532,
          seccompProfile: { type: "RuntimeDefault" },
        },
        containers: [
          {
            securityContext: {
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              capabilities: { drop: ["ALL"] },
            },
            resources: { requests: { memory: /Mi|Gi/ }, limits: { memory: /Gi/ } },
          },
        ],
      })
  })

  test("secrets are named and not held, and drill and restore alone get the private key", async () => {
    const manifests = manifestsOf(await renderChart(values))
    expect(manifests.map(({ kind }) => kind)).not.toContain("Secret")
    for (const [component, { spec }] of podsOf(manifests)) {
      const secret = spec.containers[0].env.filter(({ name }) =>
        /^(DATABASE_URL|AWS_.*|PGSTOW_NOTIFY|PGSTOW_IDENTITY)$/.test(name),
      )
      for (const { name, value, valueFrom } of secret) {
        expect(value, name).toBeUndefined()
        expect(valueFrom?.secretKeyRef.name, name).toBeTruthy()
      }
      const names = secret.map(({ name }) => name)
      expect(names.includes("PGSTOW_IDENTITY"), component).toBe(component !== "backup")
    }
  })
})

test("nothing comes in, and out go name lookups and the ports that are given", async () => {
  const policyOf = async (values: unknown) =>
    manifestsOf(await renderChart(values)).find(({ kind }) => kind === "NetworkPolicy")?.spec
  const names = {
    ports: [
      { port: 53, protocol: "UDP" },
      { port: 53, protocol: "TCP" },
    ],
  }
  const ports = [
    { port: 443, protocol: "TCP" },
    { port: 5432, protocol: "TCP" },
  ]
  const spec = {
    podSelector: {
      matchLabels: { "app.kubernetes.io/name": "pgstow", "app.kubernetes.io/instance": "nightly" },
    },
    policyTypes: ["Ingress", "Egress"],
    ingress: [],
  }
  expect(await policyOf(minimal)).toEqual({ ...spec, egress: [names, { ports }] })
  const { to, egress } = everything.networkPolicy
  expect(await policyOf(everything)).toEqual({ ...spec, egress: [names, { ports, to }, ...egress] })
  expect(await policyOf({ ...minimal, networkPolicy: { enabled: false } })).toBeUndefined()
})

test("a backup never overlaps the one before, and a missed night is made up for", async () => {
  const [cronJob] = manifestsOf(await renderChart(everything)).filter(({ kind }) => kind === "CronJob")
  expect(cronJob).toMatchObject({
    spec: {
      schedule: "@daily",
      timeZone: "Europe/Berlin",
      concurrencyPolicy: "Forbid",
      startingDeadlineSeconds: 21_600,
    },
  })
})

test("an identity at the cloud is the ServiceAccount's, which may be there already", async () => {
  const manifests = manifestsOf(await renderChart(everything))
  const account = manifests.find(({ kind }) => kind === "ServiceAccount")
  expect(account).toMatchObject({
    metadata: { name: "nightly-pgstow", annotations: everything.serviceAccount.annotations },
    automountServiceAccountToken: false,
  })
  for (const pod of podsOf(manifests).values())
    expect(pod.spec).toMatchObject({ serviceAccountName: "nightly-pgstow" })

  const other = { ...minimal, serviceAccount: { create: false, name: "backups" } }
  const theirs = manifestsOf(await renderChart(other))
  expect(theirs.map(({ kind }) => kind)).not.toContain("ServiceAccount")
  expect(podOf(theirs, "backup").spec).toMatchObject({ serviceAccountName: "backups" })
})

test("the same values leave a restore as it is, and others make another one", async () => {
  const nameOf = async (values: unknown) =>
    manifestsOf(await renderChart(values)).find(({ kind }) => kind === "Job")?.metadata.name
  const name = await nameOf(everything)
  expect(name).toMatch(/^nightly-pgstow-restore-[0-9a-f]{8}$/)
  expect(await nameOf({ ...everything, keep: { daily: 1 } })).toBe(name)
  const restore = { ...everything.restore, into: "orders_again" }
  expect(await nameOf({ ...everything, restore })).not.toBe(name)
})

test.each([
  [{ image: {} }, "image.repository is missing: name the image that you built and pushed"],
  [{ database: {} }, "database.secret.name is missing: put the database's URL into a Secret"],
  [{ storage: {} }, "storage.urls is empty: give at least one, such as s3://"],
  [{ storage: { urls: ["/backups"] } }, "storage.urls: /backups is no storage; write it like s3://"],
  [
    { storage: { urls: ["file:///backups"] } },
    "storage.claim is missing: file:///backups is gone with its pod",
  ],
  [
    { storage: { urls: ["file:///srv"], claim: "backups" } },
    "storage.urls: file:///srv is outside of storage.mountPath, which is /backups",
  ],
  [{ storage: { ...minimal.storage, mountPath: "b" } }, "storage.mountPath: b is no whole path of a folder"],
  [{ recipients: [] }, "recipients is empty: give the public half of a key, age1…"],
  [{ recipients: ["AGE-SECRET-KEY-1ABC"] }, "recipients holds a private key, which opens the backups"],
  [{ backup: { schedule: "daily" } }, "backup.schedule: daily is no cron expression of five fields"],
  [{ drill: { timeZone: "+01:00" } }, "drill.timeZone: +01:00 is no time zone; write it like Europe/Berlin"],
  [{ drill: { scratch: { size: "20 GB" } } }, "drill.scratch.size: 20 GB is no size; write it like 20Gi"],
  [{ drill: { enabled: true } }, "drill.image.repository is missing: name the image of task/Dockerfile's"],
  [
    { drill: { enabled: true, image: { repository: "r" } } },
    "identity.secret.name is missing, and drill.enabled needs the private key",
  ],
  [{ restore: { enabled: true } }, "restore.into is missing: name the new database"],
  [
    { restore: { enabled: true, into: "orders_restored" } },
    "identity.secret.name is missing, and restore.enabled needs the private key",
  ],
  [
    { serviceAccount: { create: false } },
    "serviceAccount.name is missing: name the ServiceAccount that is there",
  ],
  [{ recipent: ["age1abc"] }, "additional properties 'recipent' not allowed"],
  [{ recipients: "age1abc" }, "at '/recipients': got string, want array"],
  [{ keep: { daily: 0 } }, "at '/keep/daily': minimum: got 0, want 1"],
  [{ backup: { suspend: "no" } }, "at '/backup/suspend': got string, want boolean"],
])("values with %j are refused: %s", async (values, message) => {
  await expect(renderChart({ ...minimal, ...values })).rejects.toThrow(message)
})

test("a field that Kubernetes does not know would be found", async () => {
  const misspelt = (await renderChart(minimal)).replace("concurrencyPolicy", "concurencyPolicy")
  expect(await problemsOf(misspelt, "1.37")).toContain("'concurencyPolicy' was unexpected")
})

test("a Kubernetes that is too old is refused by its version", async () => {
  await expect(renderChart(minimal, "1.28")).rejects.toThrow("requires kubeVersion: >=1.29.0")
})

test("what the pods run, with their settings, backs up, drills and restores by the built program", async () => {
  const scene = await setScene()
  const s3 = await startS3Endpoint({ buckets: ["backups"] })
  onTestFinished(() => s3.close())
  const storage = `s3://backups/pgstow?endpoint=${s3.url}`
  await fillSampleDatabase(scene.server, scene.database, { megabytes: 2 })
  const values = {
    ...minimal,
    database: { secret: { name: "orders-db" }, name: "orders" },
    storage: { urls: [storage], secret: "bucket-key" },
    recipients: [scene.recipient],
    keep: { daily: 7 },
    identity: { secret: { name: "private-key" } },
    drill: { enabled: true, image: { repository: "registry.example.com/pgstow-drill" } },
    restore: {
      enabled: true,
      into: `${scene.database}_restored`,
      database: { secret: { name: "admin-db", key: "url" } },
    },
  }
  const secrets: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    "orders-db": { DATABASE_URL: scene.server.url(scene.database) },
    "admin-db": { url: scene.server.url("postgres") },
    "private-key": { identity: scene.identity },
    "bucket-key": {
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    },
  }
  const manifests = manifestsOf(await renderChart(values))
  /** Runs what a pod would, with the settings that it would have, and no others but where this machine has its programs. */
  const runPod = async (component: string) => {
    const [{ args, env }] = podOf(manifests, component).spec.containers
    const settings = env.map(({ name, value, valueFrom }): [string, string] => {
      const { name: secret = "", key = "" } = valueFrom?.secretKeyRef ?? {}
      const given = value ?? secrets[secret]?.[key]
      if (given === undefined) throw new Error(`${name} has no value`)
      return [name, given]
    })
    const own = { PGSTOW_PG_BIN: scene.server.binDir, AWS_REGION: "us-east-1" }
    const finished = await runPgstow(
      args,
      { ...Object.fromEntries<string>(settings), ...own },
      { cwd: scene.folder },
    )
    expect(finished.exitCode, `${component}: ${finished.stderr}`).toBe(0)
    return finished
  }

  const { stderr } = await runPod("backup")
  expect(stderr).toContain('"cleanup":')
  await runPod("drill")
  await runPod("restore")
  const restored = { server: scene.server, name: `${scene.database}_restored` }
  expect(await compareDatabases({ server: scene.server, name: scene.database }, restored)).toEqual([])
  const bucket = { ...secrets["bucket-key"], PGSTOW_STORAGE: storage, AWS_REGION: "us-east-1" }
  const shown = await runPgstow(["show", "latest", "--json"], bucket)
  expect(shown.stdout).toContain('"database": "orders"')
  expect(shown.stdout).toContain('"kind": "drilled"')
})
