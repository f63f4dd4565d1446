// Small bodies of bytes: lists of ids. They are taken whole, but only so many bytes of them are in memory at once.
import type { IncomingMessage } from 'node:http'
import { fault } from '#protocol/errors.ts'
import { ID_BYTES } from '#protocol/record.ts'
import type { Budget } from './budget.ts'

/** A list of ids must arrive within this time. */
const LIST_ARRIVAL_MS = 30_000

/**
 * Takes a body of joined ids, and gives its memory back when `use` is done.
 *
 * @throws BODY_TOO_LARGE, REQUEST_INVALID
 */
export async function withIds<Result>(budget: Budget, body: IncomingMessage, ids_max: number, use: (ids: Buffer) => Promise<Result>): Promise<Result> {
  const bytes_max = ids_max * ID_BYTES
  const declared_bytes = Number(body.headers['content-length'] ?? bytes_max)
  if (declared_bytes > bytes_max) throw tooLarge(bytes_max)
  const release = await budget.acquire(declared_bytes)
  try {
    const ids = await takeWhole(body, bytes_max)
    if (ids.length % ID_BYTES !== 0) throw fault('REQUEST_INVALID', { expected: `ids of ${ID_BYTES} bytes each`, found: `${ids.length} bytes` })
    return await use(ids)
  } finally {
    release()
  }
}

const tooLarge = (bytes_max: number): Error => fault('BODY_TOO_LARGE', { expected: `at most ${bytes_max} bytes`, found: 'more' })

async function takeWhole(body: IncomingMessage, bytes_max: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let bytes = 0
  const late = setTimeout(() => body.destroy(), LIST_ARRIVAL_MS)
  try {
    for await (const part of body.iterator({ destroyOnReturn: false })) {
      bytes += (part as Buffer).length
      if (bytes > bytes_max) throw tooLarge(bytes_max)
      parts.push(part as Buffer)
    }
    return Buffer.concat(parts, bytes)
  } catch (error) {
    throw bytes > bytes_max ? error : fault('REQUEST_INVALID', { expected: 'a whole body', found: 'a broken connection' })
  } finally {
    clearTimeout(late)
  }
}
