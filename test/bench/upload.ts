// Stores its standard input in S3 as people do who have a dump on disk: `… | node upload.mjs KEY EXPECTED_BYTES`.
import { openStorage } from "../../task/storage/open-storage.ts"
import { storeObject } from "../../task/streams/store-object.ts"

const [key = "", expectedBytes = "0"] = process.argv.slice(2)
const storage = openStorage(process.env.PGSTOW_STORAGE ?? "", { env: process.env })
await storeObject(process.stdin, [storage], key, { expectedBytes: Number(expectedBytes) })
storage.close()
