// The storage node: keeps archives, opens none of their records. Everything it acknowledges is durable.
import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { closeStore, openStore, type StoreOptions } from '#archive/store.ts'
import { isFault } from '#protocol/fault.ts'
import { SESSION_IDLE_MS } from '#protocol/limits.ts'
import { listeningFault } from '#protocol/listening.ts'
import { RECORD_BYTES_MAX } from '#protocol/record.ts'
import { createAccessControl } from './access.ts'
import { createBudget } from './budget.ts'
import { openDeauthorized } from './deauthorized.ts'
import { startDigestCheck } from './digest-check.ts'
import { createMemoryPool, SLOT_BYTES } from './memory-pool.ts'
import { createIntake, RECORD_ARRIVAL_MS } from './record-intake.ts'
import { type App, addRoutes } from './routes.ts'
import { createServer } from './server.ts'
import { createSessions, type Sessions } from './sessions.ts'
import { createTickets } from './tickets.ts'

/** All uploads together lie in so much memory at most, between their sockets and the disk. */
export const UPLOADS_BYTES = 32 * 1024 * 1024
/** All lists of ids that are being looked up. */
const LISTS_BYTES = 16 * 1024 * 1024
/** All records that are on their way out. */
const READING_BYTES = 16 * 1024 * 1024
/** A stop waits so long for requests under way. */
const STOP_MS = 10_000
const STOP_STEP_MS = 20

export type StorageOptions = {
  /** The appliance's state directory: the storage node's own is `storage` in it. */
  readonly home: string
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** PEM: the server's certificate and key, and the site's CA. */
  readonly certificate: string
  readonly key: string
  readonly ca: string
  /** PEM (SPKI), Ed25519: what the authority signs tickets with. */
  readonly ticket_public_key: string
  /** SHA-256 of the authority's own client certificate, base64url. */
  readonly authority_thumbprint: string
  readonly session_idle_ms?: number
  readonly record_arrival_ms?: number
  readonly uploads_bytes?: number
  readonly store?: StoreOptions
  /** What went wrong inside, for the node's own log; stderr if not given. */
  readonly log?: (error: unknown) => void
}

export type StorageNode = {
  readonly url: string
  /** For garbage collection: what open sessions have uploaded or asked about stays. */
  readonly isLeased: Sessions['isLeased']
  /** Ends requests under way, flushes everything, and closes. */
  close(): Promise<void>
}

/**
 * Starts a storage node; it serves when this resolves.
 *
 * @throws PORT_IN_USE, ADDRESS_UNUSABLE, DEAUTHORIZED_UNREADABLE, STORAGE_CONFIG_NEWER, and what openStore throws
 */
export async function startStorage(options: StorageOptions): Promise<StorageNode> {
  const {
    home,
    host,
    port,
    session_idle_ms = SESSION_IDLE_MS,
    record_arrival_ms = RECORD_ARRIVAL_MS,
    uploads_bytes = UPLOADS_BYTES,
    log = logToStderr,
  } = options
  if (uploads_bytes < RECORD_BYTES_MAX + 2 * SLOT_BYTES) throw new RangeError('the memory for uploads must hold the largest record')
  const dir = join(home, 'storage')
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const deauthorized = await openDeauthorized(join(dir, 'deauthorized.json'))
  const access = createAccessControl(createTickets(options.ticket_public_key), deauthorized, options.authority_thumbprint)
  const store = await openStore(dir, options.store)
  const pool = createMemoryPool(uploads_bytes)
  const digests = startDigestCheck(pool)
  const intake = createIntake(pool, digests, record_arrival_ms)
  const sessions = createSessions(session_idle_ms)
  const app = createServer(options, access, log)
  addRoutes(app, {
    store,
    sessions,
    session_idle_ms,
    intake,
    deauthorized,
    cutOff: access.cutOff,
    lists: createBudget(LISTS_BYTES),
    reading: createBudget(READING_BYTES),
    version: packageVersion(),
    log,
  })

  const close = async (): Promise<void> => {
    access.stop()
    await stopServer(app)
    intake.close()
    await digests.close()
    await closeStore(store)
  }
  try {
    return { url: await listen(app, host, port), isLeased: sessions.isLeased, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function listen(app: App, host: string, port: number): Promise<string> {
  try {
    await app.listen({ host, port })
  } catch (error) {
    throw listeningFault(error, host, port) ?? error
  }
  const address = app.server.address()
  const bound = typeof address === 'object' && address !== null ? address.port : port
  return `https://${host.includes(':') ? `[${host}]` : host}:${bound}`
}

/** Nothing new is accepted; requests under way end, or lose their connection after a while. */
async function stopServer(app: App): Promise<void> {
  let isClosed = false
  const closing = app.close().then(() => {
    isClosed = true
  })
  const limit_ms = performance.now() + STOP_MS
  while (!isClosed && performance.now() < limit_ms) {
    app.server.closeIdleConnections()
    await Promise.race([closing, sleep(STOP_STEP_MS)])
  }
  app.server.closeAllConnections()
  await closing
}

const packageVersion = (): string => {
  const read: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return typeof read === 'object' && read !== null && 'version' in read ? String(read.version) : '0'
}

function logToStderr(error: unknown): void {
  const cause = isFault(error) && error.cause !== undefined ? error.cause : error
  process.stderr.write(
    `${new Date().toISOString()} storage: ${isFault(error) ? `${error.code}: ` : ''}${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}\n`,
  )
}
