// The connection file: all that an authority needs to reach its keystore and to act there, made by provisioning. It holds
// the key that signs sign-ins: whoever has the file can fetch every escrow of its tenants, at the quota's pace and in the
// keystore's audit log, and open it where the sealed keys beside the archives are had too. 0600, on the authority only.
import { generateKeyPairSync } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'
import { TENANT_PATTERN } from './names.ts'

const CONNECTION_BYTES_MAX = 1024 * 1024
const Pem = Type.String({ minLength: 1, maxLength: 65_536 })

export const Connection = Type.Object(
  {
    version: Type.Literal(1),
    /** https://host:port of each node: the order does not matter. */
    addresses: Type.Array(Type.String({ pattern: '^https://(\\[[0-9a-f:]+\\]|[A-Za-z0-9.-]+):[0-9]{1,5}$' }), { minItems: 1, maxItems: 9 }),
    /** Of the servers' certificates. */
    ca: Pem,
    /** This client's, of a CA that the servers trust, and its key. */
    certificate: Pem,
    key: Pem,
    issuer: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9.-]{0,99}$' }),
    /** P-256 in PKCS#8: signs sign-ins. */
    jwt_key: Pem,
    /** age1…: the keystore's operators, to whom an appliance seals the recovery key of its encrypted state. */
    recovery_recipients: Type.Optional(Type.Array(Type.String({ pattern: '^age1[02-9ac-hj-np-z]{58}$' }), { minItems: 1, maxItems: 9 })),
    /** By name: the tenant's Ed25519 public key in the keystore, 32 bytes in base64. */
    tenants: Type.Record(Type.String({ pattern: TENANT_PATTERN }), Type.Object({ identity: Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$' }) })),
  },
  { additionalProperties: false },
)
export type Connection = Static<typeof Connection>
/** What it takes to reach the servers at all. */
export type Access = Pick<Connection, 'addresses' | 'ca' | 'certificate' | 'key'>

/** @throws KEYSTORE_CONNECTION_INVALID */
export function parseConnection(text: string): Connection {
  const value = parsed(text)
  if (!Check(Connection, value)) throw fault('KEYSTORE_CONNECTION_INVALID', { found: 'another shape' })
  return value
}

/** @throws KEYSTORE_CONNECTION_INVALID */
export const readConnection = (file: string): Connection => parseConnection(readText(file))

const AccessOnly = Type.Object({ addresses: Connection.properties.addresses, ca: Pem, certificate: Pem, key: Pem })

/** How to reach the servers: from a connection file, or one that holds nothing else, as an approver's. @throws KEYSTORE_CONNECTION_INVALID */
export function readAccess(file: string): Access {
  const value = parsed(readText(file))
  if (!Check(AccessOnly, value)) throw fault('KEYSTORE_CONNECTION_INVALID', { found: `${file}: another shape` })
  const { addresses, ca, certificate, key } = value
  return { addresses, ca, certificate, key }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

function readText(file: string): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch (error) {
    throw fault('KEYSTORE_CONNECTION_INVALID', { found: `${file}: ${(error as NodeJS.ErrnoException).code ?? 'not readable'}` })
  }
  if (bytes.length > CONNECTION_BYTES_MAX) throw fault('KEYSTORE_CONNECTION_INVALID', { found: `${file}: ${bytes.length} bytes` })
  return bytes.toString('utf8')
}

/** Writes the file whole or not at all, 0600; durable when it returns. */
export function writeConnection(file: string, connection: Connection): void {
  const fd = openSync(`${file}.new`, 'w', 0o600)
  try {
    writeSync(fd, `${JSON.stringify(connection, undefined, 2)}\n`)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(`${file}.new`, file)
  const folder = openSync(dirname(file), 'r')
  fsyncSync(folder)
  closeSync(folder)
}

/** A new key that signs sign-ins: P-256, PKCS#8 in PEM. */
export const makeSigningKey = (): string => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
