// Erasing a user for good: the slot's private key is deleted, and with it every copy of that user's archive, wherever it is,
// becomes unreadable. A snapshot from before has the key still; so what was erased is in a list that is kept apart from the
// snapshots, and after one was brought back all of it is erased again before anybody may connect. Invariants:
//   the list has the slot, durably, before anything is deleted, and after it is known that this may be done; it is only appended to, and chained by hashes;
//   erasing what is erased changes nothing, so a list may be gone through again and again.
// No token stands that could do this: it takes a root token, and so three holders.
import { closeSync, existsSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { checked } from '#keystore-client/answers.ts'
import { fault as clientFault } from '#keystore-client/errors.ts'
import { checkNames, kvOf, transitOf } from '#keystore-client/names.ts'
import type { AdminSession } from '#keystore-client/session.ts'
import { removeEntity } from '#keystore-provision/trial.ts'
import { isFault } from '#protocol/fault.ts'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { chainedLine, readChained } from './chained-log.ts'
import { fault } from './errors.ts'

const Erasure = Type.Object({
  number: Type.Integer({ minimum: 1 }),
  time: Type.String({ maxLength: 40 }),
  tenant: Type.String({ maxLength: 64 }),
  slot: Type.String({ maxLength: 40 }),
  /** Why, for people: the number of a request, never who the person is. */
  why: Type.String({ maxLength: 200 }),
})
export type Erasure = Static<typeof Erasure>
const Self = Type.Object({ data: Type.Object({ policies: Type.Array(Type.String()) }) })
const SELF_PATH = 'auth/token/lookup-self'
const Keys = Type.Object({ data: Type.Object({ keys: Type.Array(Type.String()) }) })

/** All that was erased. @throws LOG_BROKEN, LOG_UNREADABLE */
export async function erasuresIn(file: string): Promise<Erasure[]> {
  return (await readErasures(file)).erasures
}

/** Adds one; durable when it resolves. @throws LOG_BROKEN, LOG_UNREADABLE, KEYSTORE_NAME_INVALID */
export async function noteErasure(file: string, { tenant, slot, why, now_ms }: { tenant: string; slot: string; why: string; now_ms: number }): Promise<void> {
  checkNames({ tenant, slot })
  const { erasures, last, whole_bytes } = existsSync(file) ? await readErasures(file) : { erasures: [], last: undefined, whole_bytes: 0 }
  const { line } = chainedLine(last, { number: erasures.length + 1, time: new Date(now_ms).toISOString(), tenant, slot, why })
  const fd = openSync(file, 'a', 0o600)
  try {
    // A line that a crash cut short: what it speaks of was not done.
    ftruncateSync(fd, whole_bytes)
    writeSync(fd, line)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  const folder = openSync(dirname(file), 'r')
  fsyncSync(folder)
  closeSync(folder)
}

/**
 * Whether this is a root token: asked before a slot is noted, so that nobody who may not erase can have it done by the list.
 *
 * @throws KEYSTORE_REFUSED
 */
export async function requireRoot(admin: AdminSession): Promise<void> {
  const { policies } = checked(Self, await admin.read(SELF_PATH), SELF_PATH).data
  if (!policies.includes('root'))
    throw clientFault('KEYSTORE_REFUSED', {
      expected: 'a root token',
      found: policies.join(', '),
      next: 'three holders make one: OPERATING.md, "A root token"',
    })
}

/**
 * Erases one slot: its key, its entries, and that it ever signed in.
 *
 * @param admin  with a root token
 * @returns whether anything was there
 * @throws KEYSTORE_*
 */
export async function eraseSlot(admin: AdminSession, tenant: string, slot: string): Promise<boolean> {
  checkNames({ tenant, slot })
  const key = `${transitOf(tenant)}/keys/${slot}`
  const hadKey = await isThere(() => admin.read(key))
  if (hadKey) {
    await admin.write(`${key}/config`, { deletion_allowed: true })
    await admin.remove(key)
  }
  const metadata = `${kvOf(tenant)}/metadata/${slot}`
  const kids = await admin.list(metadata).then(
    answer => checked(Keys, answer, metadata).data.keys,
    (error: unknown) => {
      if (isFault(error, 'KEYSTORE_NOT_FOUND')) return []
      throw error
    },
  )
  for (const kid of kids) await admin.remove(`${metadata}/${kid}`)
  await removeEntity(admin, tenant, slot)
  return hadKey || kids.length > 0
}

async function readErasures(file: string): Promise<{ erasures: Erasure[]; last: string; whole_bytes: number }> {
  const erasures: Erasure[] = []
  const { last, whole_bytes } = await readChained(file, text => {
    const value: unknown = JSON.parse(text)
    if (!Check(Erasure, value)) throw fault('LOG_BROKEN', { expected: 'a list of erased slots', found: `another line ${erasures.length + 1} in ${file}` })
    erasures.push(value)
  })
  return { erasures, last, whole_bytes }
}

async function isThere(read: () => Promise<unknown>): Promise<boolean> {
  try {
    await read()
    return true
  } catch (error) {
    if (isFault(error, 'KEYSTORE_NOT_FOUND')) return false
    throw error
  }
}
