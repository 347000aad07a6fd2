import { openStorage } from "../../task/storage/open-storage.ts"
import { startS3Endpoint } from "../support/s3-endpoint.ts"
import { storageContract } from "./storage-contract.ts"

storageContract("a bucket", async () => {
  const endpoint = await startS3Endpoint({ buckets: ["backups"] })
  const env = { TEST_ACCESS_KEY: endpoint.accessKeyId, TEST_SECRET_KEY: endpoint.secretAccessKey }
  return {
    open: (name, options) =>
      openStorage(`s3://backups/${name}?endpoint=${endpoint.url}&credentials=TEST`, { env, ...options }),
    close: () => endpoint.close(),
  }
})
