/** S3 Standard in us-east-1, list price of 2025 for the first 50 TB: aws.amazon.com/s3/pricing. */
export const dollarsPerGigabyteMonth = 0.023

/** What so many bytes cost a month in S3 Standard. A gigabyte is 2^30 bytes on its bill. */
export function dollarsPerMonth(bytes: number): number {
  return (bytes / 1024 ** 3) * dollarsPerGigabyteMonth
}
