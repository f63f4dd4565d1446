// How the site is, for the status screen: asks the authority over its socket, as its own user, and leaves the little that
// may stand on a screen in /run. A timer starts it; an authority that does not answer is the screen's own finding.
//   --root DIR  the root of the file system (tests)
import { request } from 'node:http'
import { parseArgs } from 'node:util'
import { JSON_BYTES_MAX } from '#protocol/limits.ts'
import { Check, Type } from '#protocol/typebox.js'
import { writeShown } from './durable-file.ts'
import { placesUnder } from './places.ts'
import type { SiteHealth } from './site-health-shape.ts'

const ANSWER_MS = 20_000
/** ADMIN_PATHS.status of the authority: not imported, because with it would come all of the authority, every minute. */
const STATUS_PATH = '/status'

/** As much of the authority's status as is used here. */
const Status = Type.Object({
  users: Type.Integer(),
  devices: Type.Array(Type.Unknown()),
  disk_bytes: Type.Number(),
  disk_free_bytes: Type.Number(),
  attention: Type.Array(Type.String()),
  keystore: Type.Union([
    Type.Null(),
    Type.Object({
      nodes: Type.Array(Type.Object({ address: Type.String(), state: Type.String() })),
      waiting: Type.Integer(),
      lost: Type.Integer(),
      failure: Type.Union([Type.String(), Type.Null()]),
    }),
  ]),
})

const { values } = parseArgs({ options: { root: { type: 'string', default: '/' } } })
const places = placesUnder(values.root)
const status: unknown = JSON.parse(await ask(places.adminSocket, STATUS_PATH))
if (!Check(Status, status)) throw new TypeError('the status of the authority has another shape')
const { keystore } = status
const health: SiteHealth = {
  time_ms: Date.now(),
  users: status.users,
  devices: status.devices.length,
  disk_bytes: status.disk_bytes,
  disk_free_bytes: status.disk_free_bytes,
  keystore:
    keystore === null
      ? 'none: each key is on its own devices only'
      : keystore.nodes.map(({ address, state }) => `${address.replace('https://', '')} ${state}`).join(', '),
  attention: [
    ...status.attention,
    ...(keystore && !keystore.nodes.some(node => node.state === 'active') ? ['no node of the keystore is at work: new users wait, backups go on'] : []),
    ...(keystore && keystore.waiting > 0 ? [`the keys of ${keystore.waiting} users are not yet safe in the keystore`] : []),
    ...(keystore && keystore.lost > 0 ? [`the keystore has lost the keys of ${keystore.lost} users`] : []),
    ...(keystore?.failure ? [`at the keystore: ${keystore.failure}`] : []),
  ],
}
writeShown(places.siteHealth, JSON.stringify(health))

function ask(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, timeout: ANSWER_MS }, answer => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (part: string) => {
        text += part
        if (text.length > JSON_BYTES_MAX) asked.destroy(new Error('too long an answer'))
      })
      answer.on('end', () => resolve(text))
      answer.on('error', reject)
    })
    asked.on('timeout', () => asked.destroy(new Error(`no answer for ${ANSWER_MS / 1000} s`)))
    asked.on('error', reject)
    asked.end()
  })
}
