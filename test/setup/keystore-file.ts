// A connection file of a keystore that nobody is at: everything in it is well formed.
import { makeCa, makeServer } from '#authority/certificates.ts'
import { type Connection, makeSigningKey } from '#keystore-client/connection.ts'

export async function makeConnection(addresses: string[] = ['https://192.0.2.7:8200']): Promise<Connection> {
  const ca = await makeCa('Keystore', Date.now())
  const { certificate, key } = await makeServer(ca, 'client', ['localhost'], Date.now())
  return {
    version: 1,
    addresses,
    ca: ca.certificate,
    certificate,
    key,
    issuer: 'holdfast',
    jwt_key: makeSigningKey(),
    tenants: { default: { identity: `${'A'.repeat(43)}=` } },
  }
}
