// holdfast key export: writes the user key as a recovery file. It is for its owner only, and never replaces a file.
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { AuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { writeKeyFile } from '#format/key-file.ts'
import { decodeKeyRing, wipeSecureBuffer } from '#format/keys.ts'
import { fault as siteFault } from '#site/errors.ts'
import { type Identity, parseIdentity } from '#site/identity.ts'
import { fault } from './errors.ts'
import type { Frame } from './frame.ts'
import { withStorage } from './with-storage.ts'

export function registerKey(program: Command, frame: Frame): void {
  const key = program.command('key').description('The user key of this device')
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

async function exportKey(storage: AuthorizedStorage, path: string): Promise<Identity> {
  const identity = parseIdentity(await storage.get('site'))
  const encoded = await storage.get('user-key-ring')
  if (!encoded) throw siteFault('NOT_PAIRED', { found: 'no user key' })
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
