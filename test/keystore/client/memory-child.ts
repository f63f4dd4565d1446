// What memory.test.ts looks at: a process that fetches one escrow many times (so that its code is compiled as it would be in
// a long run) and keeps the last one, says so, wipes it when it is told to, says so, and waits.
import { createInterface } from 'node:readline'
import sodium, { type SecureBuffer } from 'sodium-native'
import { readConnection } from '#keystore-client/connection.ts'
import { createKeystore } from '#keystore-client/keystore.ts'

type Task = {
  readonly file: string
  readonly tenant: string
  readonly slot: string
  readonly kid: string
  readonly facts: { readonly jti: string; readonly device: string }
}
const lines = createInterface(process.stdin)[Symbol.asyncIterator]()
const { file, tenant, slot, kid, facts } = JSON.parse(String((await lines.next()).value)) as Task
const keystore = createKeystore(readConnection(file))
const fetch = async (): Promise<SecureBuffer> => (await keystore.openOwn(tenant, slot, kid, facts)).opened
const wipe = (opened: SecureBuffer): void => {
  sodium.sodium_memzero(opened)
  sodium.sodium_free(opened)
}
for (let i = 0; i < 60; i++) wipe(await fetch())
const opened = await fetch()
process.stdout.write('opened\n')
await lines.next()
wipe(opened)
process.stdout.write('wiped\n')
await lines.next()
keystore.close()
process.exit(0)
