import type { ListMultipartUploadsCommandOutput, ListObjectsV2CommandOutput } from "@aws-sdk/client-s3"

/** An answer with success that can't be the list which was asked for. */
export class NoListError extends Error {
  constructor(message: string) {
    super(message)
    this.name = "NoListError"
  }
}

/**
 * The token of the page after this one; undefined for the last. The SDK makes an empty page of anything that it can
 * parse: throws a NoListError where the answer is no list, not of what is below `prefix`, or can't be gone on with.
 */
export function nextToken(
  page: ListObjectsV2CommandOutput,
  { prefix, token }: { readonly prefix: string; readonly token: string | undefined },
): string | undefined {
  checkPage(page.IsTruncated, page.NextContinuationToken, token)
  const names = [
    ...(page.Contents ?? []).map(({ Key }) => Key),
    ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix),
  ]
  checkNames(names, prefix)
  return page.IsTruncated ? page.NextContinuationToken : undefined
}

export type UploadMarkers = { readonly KeyMarker?: string; readonly UploadIdMarker?: string }

/** The same for a page of uploads that are under way; the markers are those that asked for it. */
export function nextMarkers(
  page: ListMultipartUploadsCommandOutput,
  prefix: string,
  { KeyMarker = "", UploadIdMarker = "" }: UploadMarkers,
): UploadMarkers | undefined {
  const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page
  const next = NextKeyMarker && `${NextKeyMarker} ${NextUploadIdMarker}`
  checkPage(IsTruncated, next, `${KeyMarker} ${UploadIdMarker}`)
  checkNames(
    (page.Uploads ?? []).map(({ Key }) => Key),
    prefix,
  )
  if (!IsTruncated || NextKeyMarker === undefined) return undefined
  return NextUploadIdMarker === undefined
    ? { KeyMarker: NextKeyMarker }
    : { KeyMarker: NextKeyMarker, UploadIdMarker: NextUploadIdMarker }
}

function checkPage(
  isTruncated: boolean | undefined,
  next: string | undefined,
  last: string | undefined,
): void {
  if (isTruncated === undefined) throw new NoListError("the answer is no list")
  if (!isTruncated) return
  if (!next) throw new NoListError("the list is cut short, and does not say how it goes on")
  if (next === last) throw new NoListError("the list does not come to its end")
}

function checkNames(names: readonly (string | undefined)[], prefix: string): void {
  if (!names.every((name) => name?.startsWith(prefix)))
    throw new NoListError("the list is of something else than was asked for")
}
