/** The key of the report in the bucket. Backups lie in folders, so it can be no part of one. */
export const reportKey = "report.html"
