// Another connection file for a site that has a keystore: new servers, a new CA, a client certificate that would expire. Who
// the tenants are stays: agents hold on to the identities that they have seen.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { parseConnection } from '#keystore-client/connection.ts'
import { writeDurably } from './durable-file.ts'
import { fault } from './errors.ts'
import { keystoreOf, keystoreRules } from './machine-part.ts'
import type { Places } from './places.ts'
import { checkConnection } from './settings.ts'

/**
 * Keeps it in the place of the one that is there; durable when it returns. In force once holdfast-keystore-changed.service
 * has been started.
 *
 * @throws SETTING_INVALID: nothing has changed then
 */
export function storeKeystore(places: Places, value: unknown): void {
  const invalid = (expected: string, found: string) => fault('SETTING_INVALID', { expected: `keystore: ${expected}`, found, facts: { field: 'keystore' } })
  if (!existsSync(places.connection)) throw invalid('a site that was set up with a keystore', 'one without')
  const connection = checkConnection(value)
  if (!connection) throw invalid('a connection file', 'none')
  const known = parseConnection(readFileSync(places.connection, 'utf8'))
  const others = Object.entries(known.tenants).filter(([name, { identity }]) => connection.tenants[name]?.identity !== identity)
  if (others.length > 0) throw invalid('every tenant with the identity that it has', others.map(([name]) => name).join(', '))
  const { uid, gid } = statSync(places.connection)
  writeDurably(places.keystoreRules, keystoreRules(keystoreOf(connection.addresses)))
  writeDurably(places.connection, JSON.stringify(connection), 0o600, { uid, gid })
}
