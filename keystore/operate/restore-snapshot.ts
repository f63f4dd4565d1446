// Bringing a snapshot back into a new, empty keystore: decrypted as it streams, never in clear on a disk.
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import type { Access } from '#keystore-client/connection.ts'
import { decrypt } from './age.ts'
import { fault } from './errors.ts'
import { rawRequest } from './raw-request.ts'

const PATH = 'sys/storage/raft/snapshot-force'

/**
 * Hands a snapshot to a node, in place of all that it has. Afterwards it is sealed, and opens with the shares that the
 * keystore had when the snapshot was taken.
 *
 * @param token  root of the new keystore
 * @throws KEYSTORE_SNAPSHOT_REFUSED  the server does not take it; AGE_*
 */
export async function restoreSnapshot(access: Access, address: string, token: string, file: string, identities: readonly string[]): Promise<void> {
  // What went wrong with the file is told before what the server made of half a body.
  let failure: Error | undefined
  const content = async function* (): AsyncGenerator<Buffer> {
    try {
      yield* decrypt(createReadStream(file, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>, identities)
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error))
      throw error
    }
  }
  const body = Readable.from(content(), { objectMode: false })
  const answer = await rawRequest(access, { address, method: 'POST', path: PATH, token, body }).catch((error: unknown) => {
    throw failure ?? error
  })
  answer.resume()
  if (failure) throw failure
  if (answer.statusCode !== 204 && answer.statusCode !== 200)
    throw fault('KEYSTORE_SNAPSHOT_REFUSED', { found: `${answer.statusCode} for ${file} at ${address}` })
}
