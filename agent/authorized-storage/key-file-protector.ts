// Where the platform keeps no keys: a file in a folder of its own in the agent's home, apart from the store, that only
// its owner can read. Whoever copies authorized/ alone has nothing; whoever is root here, or copies the whole home, has all.
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import sodium from 'sodium-native'
import { fault } from './errors.ts'
import type { Place, Protector } from './protector.ts'

const KEY_BYTES = 32
const folderOf = (place: Place): string => join(place.home, 'protector')
const fileOf = (place: Place): string => join(folderOf(place), 'key')

export const keyFile: Protector = {
  name: 'key-file',
  isHere: async () => true,
  async protect(key, place) {
    mkdirSync(folderOf(place), { recursive: true, mode: 0o700 })
    rmSync(fileOf(place), { force: true })
    const fd = openSync(fileOf(place), 'wx', 0o600)
    writeSync(fd, key)
    fsyncSync(fd)
    closeSync(fd)
    const directory = openSync(folderOf(place), 'r')
    fsyncSync(directory)
    closeSync(directory)
    return Buffer.alloc(0)
  },
  async unprotect(_kept, place) {
    if (!existsSync(fileOf(place))) throw fault('STORAGE_KEY_LOST', { found: 'no key file' })
    const bytes = readFileSync(fileOf(place))
    if (bytes.length !== KEY_BYTES) throw fault('STORAGE_KEY_LOST', { expected: `${KEY_BYTES} bytes`, found: `${bytes.length}` })
    const key = sodium.sodium_malloc(KEY_BYTES)
    bytes.copy(key)
    bytes.fill(0)
    return key
  },
  async forget(_kept, place) {
    if (!existsSync(fileOf(place))) return
    const fd = openSync(fileOf(place), 'r+')
    writeSync(fd, Buffer.alloc(KEY_BYTES), 0, KEY_BYTES, 0)
    fsyncSync(fd)
    closeSync(fd)
    rmSync(fileOf(place), { force: true })
  },
}
