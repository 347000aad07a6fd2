/** A foreign program in CommonJS. */
const { backup, list, PgstowError, ResultError, restore, verify } = require("pgstow")

const { ADMIN_URL, DATABASE_URL, IDENTITY, INTO, PG_BIN, RECIPIENT, STORAGE } = process.env
const common = { storages: [STORAGE], clientFolders: [PG_BIN] }

async function main() {
  const heard = []
  const made = await backup({
    ...common,
    connection: DATABASE_URL,
    recipients: [RECIPIENT],
    onLog: ({ level }) => heard.push(level),
    onProgress: ({ stage }) => heard.push(stage),
  })
  const [copy] = await verify({ ...common, backup: made.id, deep: true, identity: IDENTITY })
  const restored = await restore({ ...common, connection: ADMIN_URL, identity: IDENTITY, into: INTO })
  const { backups } = await list({ storages: [STORAGE] })
  const refused = await restore({ ...common, connection: ADMIN_URL, identity: IDENTITY, into: INTO }).catch(
    (error) => ({
      isOwn: error instanceof PgstowError,
      isResult: error instanceof ResultError,
      kind: error.kind,
    }),
  )
  process.stdout.write(JSON.stringify({ made, copy, restored, backups, refused, heard: heard.length }))
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`)
  process.exitCode = 1
})
