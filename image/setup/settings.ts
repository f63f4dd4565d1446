// What set-up asks for, checked before anything is done with it.
import { isIP } from 'node:net'
import { createSecureContext } from 'node:tls'
import { type Connection, parseConnection } from '#keystore-client/connection.ts'
import { createKeystore } from '#keystore-client/keystore.ts'
import { Name } from '#protocol/names.ts'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'
import { isHostName } from './host-name.ts'
import { checkNetwork, type Network } from './network.ts'
import { checkTime, type Time } from './time.ts'

const PASSWORD_BYTES_MIN = 12
const PASSWORD_BYTES_MAX = 1024
const ADDRESS_CHARACTERS_MAX = 253
const closed = { additionalProperties: false }

/** The outer shape: what lies inside is checked by whoever knows it. */
const Given = Type.Object(
  {
    address: Type.String({ minLength: 1, maxLength: ADDRESS_CHARACTERS_MAX }),
    administrator: Type.Object({ name: Type.String({ maxLength: 64 }), password: Type.String({ maxLength: PASSWORD_BYTES_MAX }) }, closed),
    /** The keystore's connection file, or null: each user key stays on its devices. */
    keystore: Type.Unknown(),
    network: Type.Unknown(),
    time: Type.Unknown(),
  },
  closed,
)

export type Settings = {
  /** The name or address that agents reach the appliance at. */
  readonly address: string
  readonly administrator: Static<typeof Given>['administrator']
  readonly keystore: Connection | null
  readonly network: Network
  readonly time: Time
}

/** @throws SETTING_INVALID, NETWORK_INVALID, TIME_INVALID; `facts.field` names which */
export function checkSettings(value: unknown): Settings {
  if (!Check(Given, value)) throw invalid('', 'the shape that SETUP.md gives', 'another')
  const { address, administrator } = value
  if (isIP(address) === 0 && !isHostName(address)) throw invalid('address', 'a host name or an address, in small letters', address.slice(0, 80))
  if (!Check(Name, administrator.name)) throw invalid('administrator.name', '1 to 64 of a-z, 0-9 and -, beginning with a letter or digit', 'another')
  const bytes = Buffer.byteLength(administrator.password)
  if (bytes < PASSWORD_BYTES_MIN || bytes > PASSWORD_BYTES_MAX)
    throw invalid('administrator.password', `a password of ${PASSWORD_BYTES_MIN} to ${PASSWORD_BYTES_MAX} bytes`, `${bytes}`)
  return { address, administrator, keystore: checkConnection(value.keystore), network: checkNetwork(value.network), time: checkTime(value.time) }
}

/** Null: none. @throws SETTING_INVALID */
export function checkConnection(value: unknown): Connection | null {
  if (value === null) return null
  try {
    const connection = parseConnection(JSON.stringify(value) ?? '')
    // Only to have its keys looked at: nothing is sent.
    createKeystore(connection).close()
    createSecureContext({ ca: connection.ca, cert: connection.certificate, key: connection.key })
    return connection
  } catch {
    throw invalid('keystore', 'the connection file that `holdfast-keystore provision` wrote', 'something else')
  }
}

const invalid = (field: string, expected: string, found: string) =>
  fault('SETTING_INVALID', { expected: field === '' ? expected : `${field}: ${expected}`, found, facts: { field } })
