// Sealed records on their way: gathered into requests of about UPLOAD_BYTES, a few of them under way at once.
// How many records wait here is bounded by the reader thread (sending.ts), which stops at its unacknowledged bytes.

/** A request is sent when it has so many bytes: each costs both sides some milliseconds, however long it is. */
const UPLOAD_BYTES = 4 * 1024 * 1024
/** While nothing is under way, what waits goes out after this. */
const LINGER_MS = 50
const UPLOADS_AT_ONCE = 3

export type Uploads = {
  /** Takes a record; it goes out with others. */
  add(ordinal: number, record: Buffer): void
  /** No more records come until these are durable: what waits goes out now. */
  flush(): void
  readonly sent_bytes: number
}

/**
 * @param upload       sends records and resolves once they are durable
 * @param onDurable    ordinals of a request that was acknowledged
 * @param onFailure    called once, with the error of the first request that failed for good
 */
export function createUploads(
  upload: (records: Buffer[]) => Promise<unknown>,
  onDurable: (ordinals: number[]) => void,
  onFailure: (error: unknown) => void,
): Uploads {
  let waiting: { ordinal: number; record: Buffer }[] = []
  let waiting_bytes = 0
  let underWay = 0
  let hasFailed = false
  let lingering: NodeJS.Timeout | undefined
  const uploads = { add, flush: () => pump(true), sent_bytes: 0 }

  function add(ordinal: number, record: Buffer): void {
    waiting.push({ ordinal, record })
    waiting_bytes += record.length
    pump(false)
  }
  function pump(isUrgent: boolean): void {
    if (waiting.length > 0 && underWay === 0) lingering ??= setTimeout(pump, LINGER_MS, true)
    while (!hasFailed && waiting.length > 0 && underWay < UPLOADS_AT_ONCE && (isUrgent || waiting_bytes >= UPLOAD_BYTES)) {
      const batch = waiting
      const batch_bytes = waiting_bytes
      waiting = []
      waiting_bytes = 0
      underWay++
      clearTimeout(lingering)
      lingering = undefined
      upload(batch.map(({ record }) => record)).then(
        () => {
          underWay--
          uploads.sent_bytes += batch_bytes
          onDurable(batch.map(({ ordinal }) => ordinal))
          pump(false)
        },
        (error: unknown) => {
          if (!hasFailed) onFailure(error)
          hasFailed = true
        },
      )
    }
  }
  return uploads
}
