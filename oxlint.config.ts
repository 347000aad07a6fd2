import { defineConfig, type OxlintOverride } from "oxlint"

/**
 * The rooms of task/, and which others each may import, types included; the lowest first. All of them may import what
 * lies flat in task/ (errors, context, version), but for core, which is pure.
 */
const rooms: Readonly<Record<string, readonly string[]>> = {
  core: [],
  console: ["core"],
  processes: ["core"],
  keys: ["core"],
  config: ["core", "keys"],
  storage: ["core", "processes"],
  streams: ["core", "processes", "storage"],
  archive: ["core"],
  postgres: ["core", "processes", "streams", "archive"],
  catalog: ["core", "console", "keys", "storage", "streams"],
  legacy: ["core"],
  notify: ["console", "processes"],
  verify: [
    "core",
    "console",
    "processes",
    "storage",
    "streams",
    "archive",
    "postgres",
    "catalog",
    "legacy",
    "notify",
  ],
  backup: [
    "core",
    "console",
    "keys",
    "processes",
    "storage",
    "streams",
    "archive",
    "postgres",
    "catalog",
    "legacy",
    "verify",
  ],
  restore: [
    "core",
    "console",
    "processes",
    "storage",
    "streams",
    "archive",
    "postgres",
    "catalog",
    "legacy",
    "verify",
  ],
  doctor: [
    "core",
    "console",
    "keys",
    "processes",
    "storage",
    "streams",
    "archive",
    "postgres",
    "catalog",
    "backup",
    "restore",
  ],
  drill: [
    "core",
    "console",
    "processes",
    "storage",
    "streams",
    "archive",
    "postgres",
    "catalog",
    "verify",
    "restore",
  ],
  report: ["build", "core", "console", "processes", "storage", "catalog"],
  settings: ["config", "core", "console", "keys", "legacy", "postgres", "storage"],
  schedule: ["legacy", "processes", "settings"],
  library: ["backup", "catalog", "console", "keys", "postgres", "processes", "restore", "storage", "verify"],
  commands: [
    "archive",
    "backup",
    "catalog",
    "console",
    "core",
    "doctor",
    "drill",
    "help",
    "keys",
    "legacy",
    "notify",
    "processes",
    "report",
    "restore",
    "schedule",
    "settings",
    "verify",
  ],
  cli: ["commands", "console", "help", "keys", "legacy", "notify", "processes", "settings"],
  build: ["config"],
  help: [],
}

/** What functions/ and infra/ may import of task/. */
const outside = {
  functions: ["catalog", "core", "notify", "report", "storage", "verify"],
  infra: ["build", "config", "core"],
}

const fence = (files: string, group: string[], message: string): OxlintOverride => ({
  files: [files],
  rules: { "no-restricted-imports": ["error", { patterns: [{ group, message }] }] },
})

const fences = [
  ...Object.entries(rooms).map(([room, allowed]) => {
    const others = Object.keys(rooms).filter((other) => other !== room && !allowed.includes(other))
    const group = [
      ...others.map((other) => `../${other}/**`),
      "**/main.ts",
      "**/functions/**",
      "**/infra/**",
      ...(room === "core" ? ["../*", "node:*", "@aws-sdk/*"] : []),
    ]
    const may = allowed.length === 0 ? "no other room" : allowed.join(", ")
    return fence(`task/${room}/**/*.ts`, group, `task/${room} may import ${may}: see oxlint.config.ts`)
  }),
  ...Object.entries(outside).map(([folder, allowed]) => {
    const others = Object.keys(rooms).filter((room) => !allowed.includes(room))
    const group = [...others.map((room) => `../task/${room}/**`), "**/main.ts"]
    return fence(
      `${folder}/**/*.ts`,
      group,
      `${folder} may import ${allowed.join(", ")} of task/: see oxlint.config.ts`,
    )
  }),
]

export default defineConfig({
  plugins: ["typescript", "import", "promise", "unicorn", "oxc", "node"],
  categories: { correctness: "error" },
  rules: {
    "typescript/no-floating-promises": "error",
    "typescript/no-misused-promises": "error",
    "typescript/await-thenable": "error",
    "typescript/return-await": ["error", "in-try-catch"],
    "typescript/no-explicit-any": "error",
    "typescript/no-unsafe-argument": "error",
    "typescript/no-unsafe-assignment": "error",
    "typescript/no-unsafe-return": "error",
    "typescript/only-throw-error": "error",
    "typescript/switch-exhaustiveness-check": "error",
    "typescript/restrict-template-expressions": "off",
    "import/no-cycle": ["error", { ignoreTypes: false }],
    "import/no-default-export": "error",
    "node/no-process-env": "error",
    eqeqeq: "error",
  },
  // Programs of somebody else's, who has the package installed.
  ignorePatterns: ["node_modules", "dist", "cdk.out", "test/package/apps"],
  overrides: [
    ...fences,
    {
      // The edges of the program: what they read of the environment they hand on.
      files: [
        "task/main.ts",
        "task/library/on-storages.ts",
        "functions/handler.ts",
        "infra/app.ts",
        "infra/cloud.ts",
        "test/**/*.ts",
        "*.config.ts",
      ],
      rules: { "node/no-process-env": "off" },
    },
    { files: ["*.config.ts"], rules: { "import/no-default-export": "off" } },
    {
      files: ["**/*.mjs"],
      rules: {
        "typescript/no-unsafe-argument": "off",
        "typescript/no-unsafe-assignment": "off",
        "typescript/no-unsafe-return": "off",
        "typescript/only-throw-error": "off",
        "node/no-process-env": "off",
      },
    },
  ],
})
