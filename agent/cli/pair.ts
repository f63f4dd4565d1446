// holdfast pair: makes this home a device of a user. What is stored is ordered so that a crash on the way leaves a home
// that is not paired: `site`, which holds the certificate too, is written last, in one piece.
import { mkdirSync } from 'node:fs'
import { hostname, platform, release } from 'node:os'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { AuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { createKeyRing, encodeKeyRing, wipeSecureBuffer } from '#format/keys.ts'
import type { PairedEscrow } from '#protocol/authority-api.ts'
import { type PairingLink, parsePairingLink } from '#protocol/pairing-link.ts'
import { createDeviceKey, type DeviceKey } from '#site/certificate-request.ts'
import { fault } from '#site/errors.ts'
import type { Identity } from '#site/identity.ts'
import { authorityOf, fetchCa, pairDevice } from '#site/pairing.ts'
import { connectSite } from '#site/site.ts'
import { fault as cliFault } from './errors.ts'
import type { Frame } from './frame.ts'
import { askPassphrase } from './passphrase.ts'
import { readPassword } from './password.ts'
import { publicPart } from './public-part.ts'
import { readKeyRing } from './read-key-ring.ts'
import { type AskPassphrase, establishKey } from './user-key.ts'
import { withLockedStorage } from './with-storage.ts'

export function registerPair(program: Command, frame: Frame): void {
  program
    .command('pair')
    .description('Pair this device with an appliance. The user key is made here; only sealed does it leave this device.')
    .argument('<link>', 'the pairing link from the administrator, in quotation marks')
    .option('--password-file <file>', "read the user's password from the first line of a file, or of standard input (-)")
    .option(
      '--passphrase-file <file>',
      'if your organisation wants your key behind a passphrase: read it from the first line of a file, or of standard input (-)',
    )
    .option('--key-file <file>', 'your recovery file: you have a key already, from another appliance; it is used, and none is made')
    .option('--take-over <device>', "go on with the archive of an older device of yours, by the beginning of its id; that device can't back up any more")
    .action(async (link: string, options: PairOptions) => {
      const { identity, key } = await pair(frame, link, options)
      frame.result({ paired: true, ...publicPart(identity), key }, [
        `Paired as a device of ${identity.user} with ${new URL(identity.authority).host}.`,
        ...said(key, frame.home()),
        `Now choose what to back up:   holdfast backup PATH… --home ${frame.home()}`,
      ])
    })
}

type PairOptions = { readonly passwordFile?: string; readonly passphraseFile?: string; readonly keyFile?: string; readonly takeOver?: string }
/** local: there is no keystore; the others: see establishKey(). */
type KeyOrigin = 'local' | Awaited<ReturnType<typeof establishKey>>

function said(key: KeyOrigin, home: string): string[] {
  if (key === 'fetched') return ['Your key was fetched from escrow: what your other devices backed up opens here too.']
  if (key === 'made') return ['Your key was made here, and is on its way into escrow: holdfast status says when it is safe.']
  if (key === 'given') return ['The key of your recovery file is used, and is on its way into escrow: holdfast status says when it is safe.']
  if (key === 'waiting') return ['Your key is in escrow, and the keystore can not be asked now: the next backup or restore fetches it.']
  return [
    `Keep the user key elsewhere:  holdfast key export --to FILE --home ${home}`,
    'Without that file, backups can be restored only as long as this home exists.',
  ]
}

async function pair(frame: Frame, text: string, options: PairOptions): Promise<{ identity: Identity; key: KeyOrigin }> {
  const home = frame.home()
  const link = parsePairingLink(text)
  const key = { ring: options.keyFile === undefined ? createKeyRing() : readKeyRing(resolve(options.keyFile)), isFromFile: options.keyFile !== undefined }
  try {
    makeHome(home)
    return await pairWith(frame, link, key, options)
  } finally {
    key.ring.wipe()
  }
}

type Key = Parameters<typeof establishKey>[3]

async function pairWith(frame: Frame, link: PairingLink, key: Key, options: PairOptions): Promise<{ identity: Identity; key: KeyOrigin }> {
  const home = frame.home()
  return withLockedStorage(home, async storage => {
    if (await storage.get('site')) throw fault('ALREADY_PAIRED', { found: home })
    const ca = await fetchCa(link, frame.signal)
    const password = await readPassword(`Password of the user that the link is for (at ${new URL(authorityOf(link)).host}): `, options.passwordFile)
    const device = createDeviceKey()
    try {
      await storage.put('device-key', device.privateKey)
      const request = {
        code: link.code,
        password,
        csr: device.request,
        hostname: hostname() || 'unnamed',
        platform: `${platform()} ${release()}`.slice(0, 64),
        agent_version: frame.version,
        ...(options.takeOver === undefined ? {} : { take_over: options.takeOver }),
      }
      const { identity, escrow } = await pairDevice(link, ca, request, device.privateKey, frame.signal)
      const origin = escrow
        ? await keyInEscrow(identity, device, storage, escrow, key, askPassphrase(options.passphraseFile), frame)
        : await localKey(storage, key)
      await storage.put('site', Buffer.from(JSON.stringify(identity))).catch((error: unknown) => {
        frame.say('The link is used up: ask the administrator for a new one, and to deauthorize this device.')
        throw error
      })
      return { identity, key: origin }
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

/** A key of the user's own, kept here only. */
async function localKey(storage: AuthorizedStorage, { ring }: Key): Promise<'local'> {
  const encoded = encodeKeyRing(ring)
  try {
    await storage.put('user-key-ring', encoded)
    return 'local'
  } finally {
    wipeSecureBuffer(encoded)
  }
}

async function keyInEscrow(
  identity: Identity,
  device: DeviceKey,
  storage: AuthorizedStorage,
  escrow: PairedEscrow,
  key: Key,
  ask: AskPassphrase,
  frame: Frame,
): Promise<KeyOrigin> {
  const site = connectSite(identity, Buffer.from(device.privateKey), storage, frame.signal)
  try {
    return await establishKey(site, storage, escrow, key, ask)
  } catch (error) {
    // Without its key this device is none: it gives its authorization back.
    await site.leave().catch(() => frame.say('The appliance could not be told: ask the administrator to deauthorize this device.'))
    throw error
  } finally {
    site.close()
  }
}
