// holdfast key export: writes the user key as a recovery file. It is for its owner only, and never replaces a file.
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { AuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { writeKeyFile } from '#format/key-file.ts'
import { decodeKeyRing, wipeSecureBuffer } from '#format/keys.ts'
import { fault as siteFault } from '#site/errors.ts'
import { type Identity, parseIdentity } from '#site/identity.ts'
import { openSite, type Site } from '#site/site.ts'
import { fault } from './errors.ts'
import type { Frame } from './frame.ts'
import { askPassphrase } from './passphrase.ts'
import { fetchKey, keepKeyCurrent } from './user-key.ts'
import { withLockedStorage, withStorage } from './with-storage.ts'

export function registerKey(program: Command, frame: Frame): void {
  const key = program.command('key').description('The user key of this device')
  registerFromEscrow(key, frame)
  key
    .command('export')
    .description('Write the user key to a recovery file. Whoever has it can read every backup of its user.')
    .requiredOption('--to <file>', 'the file to write; it must not exist yet')
    .action(async (options: { to: string }) => {
      const path = resolve(options.to)
      const identity = await withStorage(frame.home(), storage => exportKey(storage, path))
      frame.result({ exported: path, archive: identity.archive }, [
        `Written to ${path}, for your eyes only. Keep it apart from the backups.`,
        `It opens the archive ${identity.archive}, without any server: holdfast recover --archive DIR --key-file ${path} --to DIR`,
      ])
    })
}

function registerFromEscrow(key: Command, frame: Frame): void {
  const option = ['--passphrase-file <file>', 'read the passphrase from the first line of a file, or of standard input (-)'] as const
  key
    .command('fetch')
    .description('Fetch the user key from escrow, on a device that was just paired and has none yet.')
    .option(...option)
    .action(async (options: { passphraseFile?: string }) => {
      await withKey(frame, (site, storage) => fetchKey(site, storage, askPassphrase(options.passphraseFile)))
      frame.result({ key: 'fetched' }, ['Your key is here: what your other devices backed up opens here too.'])
    })
  key
    .command('renew')
    .description('Make a new key now, if one is due: after a device of yours is out, a restore for somebody else, or when custody has changed.')
    .option(...option)
    .action(async (options: { passphraseFile?: string }) => {
      const state = await withKey(frame, (site, storage) => keepKeyCurrent(site, storage, askPassphrase(options.passphraseFile)))
      frame.result({ key: state }, [
        state === 'renewed' ? 'Backups go on under a new key from now on; those before keep theirs.' : 'The key is current: none is due.',
      ])
    })
}

/** While no other agent uses this home. */
const withKey = <Result>(frame: Frame, act: (site: Site, storage: AuthorizedStorage) => Promise<Result>): Promise<Result> =>
  withLockedStorage(frame.home(), async storage => {
    const site = await openSite(storage, frame.signal)
    return act(site, storage).finally(() => site.close())
  })

async function exportKey(storage: AuthorizedStorage, path: string): Promise<Identity> {
  const identity = parseIdentity(await storage.get('site'))
  const encoded = await storage.get('user-key-ring')
  if (!encoded) throw siteFault('NOT_PAIRED', { found: 'no user key', next: 'let it be fetched first: holdfast snapshots' })
  const ring = decodeKeyRing(encoded)
  wipeSecureBuffer(encoded)
  const text = writeKeyFile(ring, { user: identity.user, tenant: identity.tenant, made_ms: Date.now() })
  try {
    writeNew(path, text)
  } finally {
    wipeSecureBuffer(text)
    ring.wipe()
  }
  return identity
}

/** Durable when it returns. */
function writeNew(path: string, bytes: Buffer): void {
  let file: number
  try {
    file = openSync(path, 'wx', 0o600)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw code === 'EEXIST' ? fault('FILE_EXISTS', { found: path }) : fault('FILE_UNUSABLE', { found: `${path}: ${code ?? ''}`, cause: error })
  }
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
