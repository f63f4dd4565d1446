// holdfast pair: makes this home a device of a user. What is stored is ordered so that a crash on the way leaves a home
// that is not paired: `site`, which holds the certificate too, is written last, in one piece.
import { mkdirSync } from 'node:fs'
import { hostname, platform, release } from 'node:os'
import type { Command } from 'commander'
import type { AuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { createKeyRing, encodeKeyRing, wipeSecureBuffer } from '#format/keys.ts'
import { parsePairingLink } from '#protocol/pairing-link.ts'
import { createDeviceKey, type DeviceKey } from '#site/certificate-request.ts'
import { fault } from '#site/errors.ts'
import type { Identity } from '#site/identity.ts'
import { authorityOf, fetchCa, pairDevice } from '#site/pairing.ts'
import { fault as cliFault } from './errors.ts'
import type { Frame } from './frame.ts'
import { readPassword } from './password.ts'
import { publicPart } from './public-part.ts'
import { withLockedStorage } from './with-storage.ts'

export function registerPair(program: Command, frame: Frame): void {
  program
    .command('pair')
    .description('Pair this device with an appliance. The user key is made here, and never leaves this device.')
    .argument('<link>', 'the pairing link from the administrator, in quotation marks')
    .option('--password-file <file>', "read the user's password from the first line of a file, or of standard input (-)")
    .action(async (link: string, options: { passwordFile?: string }) => {
      const identity = await pair(frame, link, options.passwordFile)
      frame.result({ paired: true, ...publicPart(identity) }, [
        `Paired as a device of ${identity.user} with ${new URL(identity.authority).host}.`,
        `Now choose what to back up:   holdfast backup PATH… --home ${frame.home()}`,
        `Keep the user key elsewhere:  holdfast key export --to FILE --home ${frame.home()}`,
        'Without that file, backups can be restored only as long as this home exists.',
      ])
    })
}

async function pair(frame: Frame, text: string, passwordFile: string | undefined): Promise<Identity> {
  const home = frame.home()
  const link = parsePairingLink(text)
  makeHome(home)
  return withLockedStorage(home, async storage => {
    if (await storage.get('site')) throw fault('ALREADY_PAIRED', { found: home })
    const ca = await fetchCa(link, frame.signal)
    const password = await readPassword(`Password of the user that the link is for (at ${new URL(authorityOf(link)).host}): `, passwordFile)
    const device = createDeviceKey()
    try {
      await putKeys(storage, device)
      const request = {
        code: link.code,
        password,
        csr: device.request,
        hostname: hostname() || 'unnamed',
        platform: `${platform()} ${release()}`.slice(0, 64),
        agent_version: frame.version,
      }
      const identity = await pairDevice(link, ca, request, device.privateKey, frame.signal)
      await storage.put('site', Buffer.from(JSON.stringify(identity))).catch((error: unknown) => {
        frame.say('The link is used up: ask the administrator for a new one, and to deauthorize this device.')
        throw error
      })
      return identity
    } catch (error) {
      await storage.wipe()
      throw error
    } finally {
      device.privateKey.fill(0)
    }
  })
}

function makeHome(home: string): void {
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw cliFault('HOME_UNUSABLE', { found: `${home}: ${(error as NodeJS.ErrnoException).code ?? ''}`, cause: error })
  }
}

/** The user's own key, made here, and the device's. */
async function putKeys(storage: AuthorizedStorage, device: DeviceKey): Promise<void> {
  const ring = createKeyRing()
  const encoded = encodeKeyRing(ring)
  try {
    await storage.put('user-key-ring', encoded)
    await storage.put('device-key', device.privateKey)
  } finally {
    wipeSecureBuffer(encoded)
    ring.wipe()
  }
}
