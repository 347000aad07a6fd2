/** What S3 answers where it refuses. `code` is S3's word for it. */
export class S3Error extends Error {
  readonly status: number
  readonly code: string
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    code: string,
    detail: { readonly message?: string; readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(detail.message ?? code)
    this.name = "S3Error"
    this.status = status
    this.code = code
    this.headers = detail.headers ?? {}
  }
}
