// What root does of the machine's settings when an administrator asks for it. The change is kept first and comes into
// force a moment later, so that the answer still leaves by the old network.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { type Act, actOf } from '#image-update/act.ts'
import { Type } from '#protocol/typebox.js'
import { addressesOf } from './addresses.ts'
import { storeKeystore } from './keystore-settings.ts'
import { keptNetwork, keptTime, storeNetwork, storeTime } from './machine-settings.ts'
import { checkNetwork } from './network.ts'
import { placesUnder } from './places.ts'
import { checkTime } from './time.ts'

const run = promisify(execFile)
const closed = { additionalProperties: false }
const places = placesUnder('/')

const putInForce = async (): Promise<object> => {
  await run('systemctl', ['--no-block', 'restart', 'holdfast-settings.service'])
  return {}
}

export const SETUP_ACTS: Readonly<Record<string, Act>> = {
  'network.show': actOf(Type.Object({}, closed), async () => ({ network: keptNetwork(places), addresses: addressesOf() })),
  'network.set': actOf(Type.Object({ network: Type.Unknown() }, closed), async ({ network }) => {
    storeNetwork(places, checkNetwork(network))
    return putInForce()
  }),
  'keystore.set': actOf(Type.Object({ connection: Type.Unknown() }, closed), async ({ connection }) => {
    storeKeystore(places, connection)
    await run('systemctl', ['--no-block', 'start', 'holdfast-keystore-changed.service'])
    return {}
  }),
  'time.show': actOf(Type.Object({}, closed), async () => ({ time: keptTime(places), now_ms: Date.now(), is_synchronised: existsSync(places.isTimeKnown) })),
  'time.set': actOf(Type.Object({ time: Type.Unknown() }, closed), async ({ time }) => {
    storeTime(places, checkTime(time))
    return putInForce()
  }),
}
