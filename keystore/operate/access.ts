// How somebody who operates the keystore reaches it: addresses, CA, and a client certificate of their own. A connection file
// has all of that too, but also the key that signs sign-ins: it stays with the authority, and is not needed here.
import { readFileSync } from 'node:fs'
import { type Access, Connection } from '#keystore-client/connection.ts'
import { fault as clientFault } from '#keystore-client/errors.ts'
import { type AdminSession, openAdminSession } from '#keystore-client/session.ts'
import { statesOf } from '#keystore-client/state.ts'
import type { Transport } from '#keystore-client/transport.ts'
import { isFault } from '#protocol/fault.ts'
import { Check, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'

const { addresses, ca, certificate, key } = Connection.properties
const OperatorAccess = Type.Object({ addresses, ca, certificate, key })
const ACCESS_BYTES_MAX = 1024 * 1024

/** Reads an access file, or what a connection file has of it. @throws ACCESS_INVALID */
export function readAccess(file: string): Access {
  let value: unknown
  try {
    const bytes = readFileSync(file)
    value = bytes.length > ACCESS_BYTES_MAX ? undefined : JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw fault('ACCESS_INVALID', { found: `${file}: ${(error as NodeJS.ErrnoException).code ?? 'no JSON'}` })
  }
  if (!Check(OperatorAccess, value)) throw fault('ACCESS_INVALID', { expected: 'addresses, ca, certificate and key', found: `another shape in ${file}` })
  return { addresses: value.addresses, ca: value.ca, certificate: value.certificate, key: value.key }
}

/** What the operator's requests are called in the keystore's audit log. */
const ACT = 'operate'
const RENEW_PATH = 'auth/token/renew-self'

/**
 * A session at the active node. A token that may renew itself is renewed: it lives as long as it is used.
 *
 * @param renews  false for who asks all the time: each renewal is written into the keystore's data and its audit log
 * @throws KEYSTORE_LEADERLESS no node is active; KEYSTORE_*
 */
export async function openOperatorSession(transport: Transport, token: string, renews = true): Promise<AdminSession> {
  const states = await statesOf(transport)
  const active = states.find(({ state }) => state === 'active' || state === 'audit-full')
  if (!active)
    throw clientFault('KEYSTORE_LEADERLESS', { expected: 'an active node', found: states.map(({ address, state }) => `${address} ${state}`).join(', ') })
  const session = openAdminSession(transport, active.address, { token, act: ACT })
  if (!renews) return session
  await session.write(RENEW_PATH, {}).catch((error: unknown) => {
    if (!isFault(error)) throw error
  })
  return session
}
