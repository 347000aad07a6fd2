import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openStorage } from "../../task/storage/open-storage.ts"
import { storageContract } from "./storage-contract.ts"

storageContract("a directory", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-file-"))
  return {
    open: (name, options) => openStorage(`file://${folder}/${name}`, { env: {}, ...options }),
    close: () => rm(folder, { recursive: true }),
  }
})
