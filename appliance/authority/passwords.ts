// Passwords of users: argon2id by libsodium, in its own thread, one at a time so that many tries cannot take the memory.
import sodium from 'sodium-native'
import { fault } from '#protocol/errors.ts'

const PASSWORD_BYTES_MIN = 8
const PASSWORD_BYTES_MAX = 1024
/** About a third of a second and 64 MiB each. */
const OPS = sodium.crypto_pwhash_OPSLIMIT_INTERACTIVE
const MEMORY = sodium.crypto_pwhash_MEMLIMIT_INTERACTIVE

let before: Promise<unknown> = Promise.resolve()
const oneAtATime = <Result>(act: () => Promise<Result>): Promise<Result> => {
  const mine = before.then(act)
  before = mine.catch(() => {})
  return mine
}

/** A string to keep. @throws PASSWORD_WEAK */
export async function hashPassword(password: string): Promise<string> {
  const bytes = secured(password)
  try {
    if (bytes.length < PASSWORD_BYTES_MIN || bytes.length > PASSWORD_BYTES_MAX) throw fault('PASSWORD_WEAK')
    const hash = Buffer.alloc(sodium.crypto_pwhash_STRBYTES)
    await oneAtATime(() => sodium.crypto_pwhash_str_async(hash, bytes, OPS, MEMORY))
    return hash.toString('latin1').replace(/\0+$/, '')
  } finally {
    sodium.sodium_memzero(bytes)
  }
}

/** Whether a password is the one of a hash; takes as long when there is no hash to compare with. */
export async function isPassword(password: string, hash: string | undefined): Promise<boolean> {
  const bytes = secured(password)
  try {
    const kept = Buffer.alloc(sodium.crypto_pwhash_STRBYTES)
    kept.write(hash ?? (await decoy()), 'latin1')
    const isRight = await oneAtATime(() => sodium.crypto_pwhash_str_verify_async(kept, bytes))
    return isRight && hash !== undefined
  } finally {
    sodium.sodium_memzero(bytes)
  }
}

let decoyHash: Promise<string> | undefined
const decoy = (): Promise<string> => {
  decoyHash ??= hashPassword('nobody has this password')
  return decoyHash
}

function secured(password: string): ReturnType<typeof sodium.sodium_malloc> {
  const bytes = sodium.sodium_malloc(Math.max(1, Buffer.byteLength(password)))
  bytes.write(password)
  return bytes
}
