// The set-up server's process: `node main.ts`. Runs until there is a site, as a user that may listen on port 443 and
// write its own draft, no more. Says {"ready":true,"port":…} on stdout; what the screen shows lies in shown.json.
//   --root DIR  the root of the file system; --host, --port  where it listens (tests)
import { existsSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { isFault } from '#protocol/fault.ts'
import { listeningFault } from '#protocol/listening.ts'
import package_ from '../../package.json' with { type: 'json' }
import { makeCertificate } from './certificate.ts'
import { createCode } from './code.ts'
import { removeDraft } from './draft.ts'
import { remove, writeShown } from './durable-file.ts'
import { keptNetwork, keptTime, wiredInterfaces } from './machine-settings.ts'
import { type Places, placesUnder } from './places.ts'
import { createServer } from './server.ts'
import { createSetup } from './setup.ts'

const PORT = 443
/** The last answer has so long to leave. */
const FAREWELL_MS = 5_000
const SHOWN_MODE = 0o640

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { root: { type: 'string', default: '/' }, host: { type: 'string', default: '::' }, port: { type: 'string', default: `${PORT}` } },
  })
  const places = placesUnder(values.root)
  process.umask(0o077)
  if (existsSync(places.config)) return
  removeDraft(places.draft)
  const tls = await makeCertificate([hostname(), 'localhost', '127.0.0.1'], Date.now())
  // Nobody is asked to come before somebody is there.
  let isThere = false
  let shown = ''
  const show = (): void => {
    if (isThere) writeShown(places.shown, shown, SHOWN_MODE)
  }
  const code = createCode((text, wrong) => {
    shown = JSON.stringify({ code: text, wrong, fingerprint: tls.fingerprint })
    show()
  })
  const there = (): void => {
    isThere = true
    show()
  }
  const create = (end: () => void) => createServer(tls, createSetup(places, code, package_.version), () => machineNow(places), end)
  try {
    await serve(values.host, Number(values.port), create, there)
  } finally {
    remove(places.shown)
    removeDraft(places.draft)
  }
}

const machineNow = (places: Places) => ({ interfaces: wiredInterfaces(places), network: keptNetwork(places), time: keptTime(places) })

/** Until it has finished, or is told to stop. */
async function serve(host: string, port: number, create: (end: () => void) => ReturnType<typeof createServer>, there: () => void): Promise<void> {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => end())
  const app = create(end)
  try {
    await app.listen({ host, port })
  } catch (error) {
    throw listeningFault(error, host, port) ?? error
  }
  there()
  process.stdout.write(`${JSON.stringify({ ready: true, port: (app.server.address() as AddressInfo).port })}\n`)
  await ended
  await Promise.race([app.close(), wait(FAREWELL_MS)])
}

main().then(
  () => process.exit(),
  (error: unknown) => {
    process.stderr.write(`${isFault(error) ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    process.exit(isFault(error) ? error.exit : 1)
  },
)
