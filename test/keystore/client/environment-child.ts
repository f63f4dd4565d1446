// What transport.test.ts runs in a hostile environment: everything that an authority does, once.
import { readConnection } from '#keystore-client/connection.ts'
import { createKeystore } from '#keystore-client/keystore.ts'

type Task = {
  readonly file: string
  readonly tenant: string
  readonly slot: string
  readonly kid: string
  readonly sealed: string
  readonly facts: { readonly jti: string; readonly device: string }
  readonly otherCa: string
}
const { file, tenant, slot, kid, sealed, facts, otherCa } = JSON.parse(process.env['CHILD'] ?? '') as Task
const connection = readConnection(file)
const keystore = createKeystore(connection)
const stored = await keystore.escrow(tenant, slot, kid, sealed)
const { opened } = await keystore.openOwn(tenant, slot, kid, facts)
keystore.close()

const deceived = createKeystore({ ...connection, ca: otherCa })
const untrusted = await deceived.isEscrowed(tenant, slot, kid).then(String, (error: { code: string }) => error.code)
deceived.close()
process.stdout.write(JSON.stringify({ stored, opened: opened.length, untrusted }))
