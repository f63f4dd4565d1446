// The authority's line to the storage node: it tells which devices are out, with the authority's own certificate, again
// and again until the storage node has confirmed.
import { Agent, request } from 'node:https'
import { JSON_BYTES_MAX } from '#protocol/limits.ts'
import { STORAGE_PATHS } from '#protocol/storage-api.ts'
import type { KeyAndCertificate } from './certificates.ts'
import type { State, Told } from './state.ts'

const AGAIN_MS = 5_000
const ANSWER_MS = 5_000

export type StorageLink = {
  /** Tells about one device; whether the storage node has confirmed it. */
  tellNow(device: string): Promise<boolean>
  close(): void
}

/** @param url  https://host:port of the storage node */
export function createStorageLink(state: State, url: string, own: KeyAndCertificate, ca: string): StorageLink {
  const agent = new Agent({ minVersion: 'TLSv1.3', ca, cert: own.certificate, key: own.key, keepAlive: false })
  let isClosed = false
  const tell = async (told: Told): Promise<boolean> => {
    if (!(await put(agent, `${url}${STORAGE_PATHS.deauthorized}`, told))) return false
    await state.write([{ kind: 'tell', id: told.device, row: undefined }])
    return true
  }
  const tellAll = async (): Promise<void> => {
    for (const told of await state.all('tell')) if (!isClosed) await tell(told)
  }
  let round: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    round = round.then(tellAll).catch(error => {
      if (!isClosed) process.stderr.write(`authority: telling the storage node: ${error instanceof Error ? error.message : String(error)}\n`)
    })
  }, AGAIN_MS)
  timer.unref()
  return {
    async tellNow(device) {
      const told = await state.get('tell', device)
      return told === undefined || tell(told)
    },
    close() {
      isClosed = true
      clearInterval(timer)
      agent.destroy()
    },
  }
}

function put(agent: Agent, url: string, told: Told): Promise<boolean> {
  const body = Buffer.from(JSON.stringify({ device: told.device, thumbprints: told.thumbprints }))
  return new Promise(resolve => {
    const sent = request(
      url,
      { agent, method: 'PUT', timeout: ANSWER_MS, headers: { 'content-type': 'application/json', 'content-length': body.length } },
      answer => {
        let bytes = 0
        answer.on('data', (part: Buffer) => {
          bytes += part.length
          if (bytes > JSON_BYTES_MAX) sent.destroy()
        })
        answer.on('end', () => resolve(answer.statusCode === 200))
        answer.on('error', () => resolve(false))
      },
    )
    sent.on('timeout', () => sent.destroy())
    sent.on('error', () => resolve(false))
    sent.end(body)
  })
}
