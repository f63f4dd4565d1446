// Takes a draft over as the site. All or nothing: config.json is put in its place last, and until then there is no site;
// what an interrupted try left is removed by the next one. As root, so as little as possible: it moves files, gives them
// to their users, and writes the machine's settings, which it checks itself.
import { chmodSync, chownSync, existsSync, lchownSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { flush, remove, writeDurably } from './durable-file.ts'
import { fault } from './errors.ts'
import { keystoreRules, MACHINE_PART, MACHINE_PART_BYTES_MAX, parseMachinePart, type SiteFacts } from './machine-part.ts'
import { storeNetwork, storeTime } from './machine-settings.ts'
import { type Places, SEALED_RECOVERY_KEY } from './places.ts'

const ENTRIES_MAX = 1000
const AUTHORITY_USER = 'holdfast-authority'
const STORAGE_USER = 'holdfast-storage'

type Owner = { readonly uid: number; readonly gid: number }

/** @throws DRAFT_INVALID, NETWORK_INVALID, TIME_INVALID: nothing was set up then */
export function finishSite(places: Places): SiteFacts {
  const { home, taken } = places
  if (existsSync(places.config)) throw fault('DRAFT_INVALID', { found: 'a site that exists already', next: 'use it as it is' })
  const users = readFileSync(places.users, 'utf8')
  const authority = ownerOf(users, AUTHORITY_USER)
  const storage = ownerOf(users, STORAGE_USER)
  const us = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  rmSync(taken, { recursive: true, force: true })
  // From here on the set-up server's user has no path to it, and top-down each folder is given away before it is listed.
  renameSync(places.draft, taken)
  lchownSync(taken, us.uid, us.gid)
  const part = parseMachinePart(readBounded(join(taken, MACHINE_PART)).toString('utf8'))
  const entries = { left: ENTRIES_MAX }
  give(join(taken, 'authority'), authority, entries)
  give(join(taken, 'storage'), storage, entries)
  give(join(taken, 'config.json'), { uid: us.uid, gid: authority.gid }, entries)
  chmodSync(join(taken, 'config.json'), 0o640)

  replace(join(taken, 'authority'), home)
  takeStorage(join(taken, 'storage'), join(home, 'storage'), storage)
  mkdirSync(join(home, 'network'), { recursive: true })
  storeNetwork(places, part.network)
  storeTime(places, part.time)
  writeDurably(places.keystoreRules, keystoreRules(part.keystore))
  writeDurably(places.siteFacts, JSON.stringify(part.site), 0o644)
  // Sealed, so anybody may read it; it goes onto the ESP from here (image/life).
  if (existsSync(join(taken, SEALED_RECOVERY_KEY))) writeDurably(places.sealedRecoveryKey, readBounded(join(taken, SEALED_RECOVERY_KEY)), 0o644)
  else remove(places.sealedRecoveryKey)
  flush(home)

  renameSync(join(taken, 'config.json'), places.config)
  flush(home)
  remove(places.recoveryKey)
  rmSync(taken, { recursive: true, force: true })
  return part.site
}

/** Archives that are there already (on data disks) stay; all else of the storage node's folder is the draft's. */
function takeStorage(from: string, to: string, owner: Owner): void {
  mkdirSync(to, { recursive: true, mode: 0o700 })
  chownSync(to, owner.uid, owner.gid)
  for (const name of readdirSync(to)) if (name !== 'archives') rmSync(join(to, name), { recursive: true })
  for (const name of readdirSync(from)) if (name !== 'archives') replace(join(from, name), to)
  flush(to)
}

function replace(from: string, folder: string): void {
  const to = join(folder, basename(from))
  rmSync(to, { recursive: true, force: true })
  renameSync(from, to)
}

/** Gives a file, or a folder with all that is in it, to its user, and makes it durable. @throws DRAFT_INVALID */
function give(path: string, owner: Owner, entries: { left: number }): void {
  const stat = lstatSync(path)
  if (entries.left-- === 0 || !(stat.isDirectory() || (stat.isFile() && stat.nlink === 1)))
    throw fault('DRAFT_INVALID', { expected: `at most ${ENTRIES_MAX} plain files and folders`, found: path })
  lchownSync(path, owner.uid, owner.gid)
  if (stat.isDirectory()) for (const name of readdirSync(path)) give(join(path, name), owner, entries)
  flush(path)
}

function readBounded(file: string): Buffer {
  const stat = lstatSync(file)
  if (!stat.isFile() || stat.size > MACHINE_PART_BYTES_MAX) throw fault('DRAFT_INVALID', { found: file })
  return readFileSync(file)
}

function ownerOf(users: string, name: string): Owner {
  const [, , uid, gid] =
    users
      .split('\n')
      .find(line => line.startsWith(`${name}:`))
      ?.split(':') ?? []
  if (uid === undefined || gid === undefined) throw fault('DRAFT_INVALID', { expected: `a user ${name}`, found: 'none' })
  return { uid: Number(uid), gid: Number(gid) }
}
