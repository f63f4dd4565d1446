// Open sessions: one backup of an archive at a time, and what it holds against garbage collection. Kept in memory: a
// restart ends them all, and agents open new ones. Invariants:
//   an archive has at most one session;
//   a session is taken over only if all connections that used it are closed, or nobody used it for the idle time.
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { fault } from '#protocol/errors.ts'
import { createLease, hold, isHeld, type Lease } from './lease.ts'

/** More sessions than this at once are refused. */
export const SESSIONS_MAX = 1024
/** So long a new session waits for the last connection of the old one to be seen closed. */
const TAKEOVER_GRACE_MS = 1_000

/** What of a connection a session needs to know: a socket. */
export type Connection = { readonly destroyed: boolean; once(event: 'close', listener: () => void): unknown }

export type OpenSession = {
  readonly id: string
  readonly archive: string
  readonly lease: Lease
  readonly connections: Set<Connection>
  /** Requests under way. */
  requests: number
  used_ms: number
  /** Called when it may have become free to be taken over. */
  readonly waiters: Set<() => void>
}

export type Sessions = {
  /** Opens the archive's session. @throws SESSION_BUSY, OVERLOADED */
  open(archive: string, connection: Connection): Promise<OpenSession>
  /** Acts within a session, which is in use meanwhile. @throws SESSION_UNKNOWN */
  use<Result>(archive: string, id: string | undefined, connection: Connection, act: (session: OpenSession) => Promise<Result>): Promise<Result>
  /** Ends it; ending one that is not there changes nothing. */
  end(archive: string, id: string): void
  /** Whether garbage collection must leave a record alone: an open session uploaded it or asked about it. */
  isLeased(archive: string, id: Buffer): boolean
}

/** @param idle_ms  a session that nobody used for so long may be taken over */
export function createSessions(idle_ms: number): Sessions {
  const sessions = new Map<string, OpenSession>()
  const usedBy = new WeakMap<Connection, Set<OpenSession>>()

  const isFree = (session: OpenSession): boolean => session.connections.size === 0 || (session.requests === 0 && performance.now() - session.used_ms >= idle_ms)
  const remove = (session: OpenSession): void => {
    if (sessions.get(session.archive) === session) sessions.delete(session.archive)
    for (const connection of session.connections) usedBy.get(connection)?.delete(session)
    wake(session)
  }
  const wake = (session: OpenSession): void => {
    for (const waiter of session.waiters) waiter()
  }
  const connect = (session: OpenSession, connection: Connection): void => {
    if (connection.destroyed) return
    session.connections.add(connection)
    const used = usedBy.get(connection)
    if (used) {
      used.add(session)
      return
    }
    const using = new Set([session])
    usedBy.set(connection, using)
    connection.once('close', () => {
      for (const one of using) {
        one.connections.delete(connection)
        if (one.connections.size === 0) wake(one)
      }
    })
  }
  /** Resolves when the session may be taken over, or after a short while. */
  const becomesFree = async (session: OpenSession): Promise<void> => {
    const stop = new AbortController()
    const waiter = (): void => stop.abort()
    session.waiters.add(waiter)
    await sleep(TAKEOVER_GRACE_MS, undefined, { signal: stop.signal }).catch(() => {})
    session.waiters.delete(waiter)
  }
  const makeRoom = (): void => {
    if (sessions.size < SESSIONS_MAX) return
    for (const session of sessions.values()) if (isFree(session)) remove(session)
    if (sessions.size >= SESSIONS_MAX) throw fault('OVERLOADED', { expected: `at most ${SESSIONS_MAX} backups at once`, found: 'more' })
  }

  return {
    async open(archive, connection) {
      const before = sessions.get(archive)
      if (before && !isFree(before)) await becomesFree(before)
      const busy = sessions.get(archive)
      if (busy && !isFree(busy)) throw fault('SESSION_BUSY')
      if (busy) remove(busy)
      makeRoom()
      const session: OpenSession = {
        id: randomBytes(32).toString('hex'),
        archive,
        lease: createLease(),
        connections: new Set(),
        requests: 0,
        used_ms: performance.now(),
        waiters: new Set(),
      }
      connect(session, connection)
      sessions.set(archive, session)
      return session
    },
    async use(archive, id, connection, act) {
      const session = sessions.get(archive)
      if (!session || session.id !== id) throw fault('SESSION_UNKNOWN')
      connect(session, connection)
      session.requests++
      try {
        return await act(session)
      } finally {
        session.requests--
        session.used_ms = performance.now()
      }
    },
    end(archive, id) {
      const session = sessions.get(archive)
      if (session?.id === id) remove(session)
    },
    isLeased: (archive, id) => {
      const session = sessions.get(archive)
      return session !== undefined && isHeld(session.lease, id)
    },
  }
}

/** Holds joined ids for as long as the session is open. */
export const holdIds = (session: OpenSession, joined: Buffer): void => hold(session.lease, joined)
