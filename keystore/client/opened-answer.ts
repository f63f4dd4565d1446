// The one answer that holds an opened W. It stays bytes: the base64 is decoded out of the answer straight into secure
// memory, the answer is wiped, and only what stands around the secret ever becomes a string.
//
// What no code here can reach: what the runtime and OpenSSL hold while they pass a record on. OpenSSL is told to clean its
// records, what the connection read is wiped, and the stack is overwritten (transport.ts, stack.ts); all of that is done
// before this sees the answer. test/keystore/client/memory.test.ts looks at the whole memory of a process: one copy, the
// secure one, and none after it was wiped. The token that fetched it does stay in the heap for a while, used up.
import sodium, { type SecureBuffer } from 'sodium-native'
import { Type } from '#protocol/typebox.js'
import { checked } from './answers.ts'
import { fault } from './errors.ts'

const MARK = Buffer.from('"plaintext":"')
const QUOTE = 0x22
const PADDING = 0x3d
const Opened = Type.Object({ request_id: Type.String({ maxLength: 100 }), data: Type.Object({ plaintext: Type.Literal('') }) })

/**
 * Takes the opened bytes out of the answer to a decrypt request.
 *
 * @param answer  JSON; wiped when this returns or throws
 * @param bytes   how long the secret must be
 * @returns opened: secure memory, the caller's to wipe and free
 * @throws KEYSTORE_ANSWER_INVALID
 */
export function takeOpened(answer: Buffer, bytes: number, path: string): { opened: SecureBuffer; request_id: string } {
  const opened = sodium.sodium_malloc(bytes)
  try {
    const begin = answer.indexOf(MARK) + MARK.length
    const end = begin < MARK.length ? -1 : answer.indexOf(QUOTE, begin)
    if (end < 0 || !decodeBase64(answer.subarray(begin, end), opened))
      throw fault('KEYSTORE_ANSWER_INVALID', { expected: `${bytes} opened bytes`, found: `something else from ${path}` })
    const around = `${answer.toString('latin1', 0, begin)}${answer.toString('latin1', end)}`
    return { opened, request_id: checked(Opened, parse(around), path).request_id }
  } catch (error) {
    sodium.sodium_memzero(opened)
    sodium.sodium_free(opened)
    throw error
  } finally {
    answer.fill(0)
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** Base64 with padding, exactly as many bytes as the target has; without strings. */
function decodeBase64(text: Buffer, target: Buffer): boolean {
  if (text.length !== Math.ceil(target.length / 3) * 4) return false
  let digits = text.length
  while (digits > 0 && text[digits - 1] === PADDING) digits--
  if (Math.floor((digits * 6) / 8) !== target.length) return false
  let [bits, held, at] = [0, 0, 0]
  for (let i = 0; i < digits; i++) {
    const value = digitOf(text[i] ?? 0)
    if (value < 0) return false
    held = ((held << 6) | value) & 0xfff
    bits += 6
    if (bits < 8) continue
    bits -= 8
    target[at++] = (held >> bits) & 0xff
  }
  return at === target.length
}

function digitOf(code: number): number {
  if (code >= 0x41 && code <= 0x5a) return code - 0x41
  if (code >= 0x61 && code <= 0x7a) return code - 0x61 + 26
  if (code >= 0x30 && code <= 0x39) return code - 0x30 + 52
  if (code === 0x2b) return 62
  return code === 0x2f ? 63 : -1
}
