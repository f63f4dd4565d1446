// The recovery file: all of a user's keys as text, to be kept apart from the backups, or printed and typed in again.
// With it and an archive directory everything can be restored without any server. Invariants:
//   each key line carries its own check, so that a typing error is named by its line; the last line covers all keys, so
//   that a file that was cut is refused;
//   keys are never in a string here: text is made and read as bytes in memory that is wiped.
// Layout: FORMAT.md, "Recovery file".
import { createHash } from 'node:crypto'
import type { SecureBuffer } from 'sodium-native'
import { fault as protocolFault } from '#protocol/errors.ts'
import { fault } from './errors.ts'
import { EPOCHS_MAX, KEY_BYTES, type KeyRing, keyRingOf, secureBuffer, wipeSecureBuffer } from './keys.ts'

export const KEY_FILE_VERSION = 1
export const KEY_FILE_BYTES_MAX = 256 * 1024

const TITLE = 'Holdfast recovery file'
const LINE_CONTEXT = 'holdfast-keyline'
const FILE_CONTEXT = 'holdfast-keyfile'
const CHECK_BYTES = 4
const GROUP_BYTES = 4
const DIGITS = Buffer.from('0123456789abcdef', 'latin1')

export type KeyFileNotes = { readonly user: string; readonly tenant: string; readonly made_ms: number }

/**
 * The text of a recovery file (ASCII, lines end with LF).
 *
 * @param notes  goes into a comment, for people
 * @returns      secure memory: write it out, then wipe it with wipeSecureBuffer
 */
export function writeKeyFile(ring: KeyRing, notes: KeyFileNotes): SecureBuffer {
  const entries = entriesOf(ring)
  const comment = printable(`user ${notes.user}, tenant ${notes.tenant}, made ${new Date(notes.made_ms).toISOString()}`)
  const head = `${TITLE} ${KEY_FILE_VERSION}\n# Whoever has this file can read every backup of its user. Keep it secret, and apart from the backups.\n# ${comment}\n`
  const text = secureBuffer(head.length + entries.length * 110 + 40)
  let at = text.write(head, 'latin1')
  const put = (part: string): void => void (at += text.write(part, at, 'latin1'))
  const putHex = (bytes: Uint8Array): void => {
    for (const byte of bytes) {
      text[at++] = DIGITS[byte >> 4] as number
      text[at++] = DIGITS[byte & 15] as number
    }
  }
  for (const { epoch, entry } of entries) {
    put(`key ${epoch}`)
    for (let from = 4; from < entry.length; from += GROUP_BYTES) {
      put(' ')
      putHex(entry.subarray(from, from + GROUP_BYTES))
    }
    put(' check ')
    putHex(checkOf(LINE_CONTEXT, [entry]))
    put('\n')
  }
  put(`end ${entries.length} check `)
  putHex(
    checkOf(
      FILE_CONTEXT,
      entries.map(one => one.entry),
    ),
  )
  put('\n')
  const exact = secureBuffer(at)
  exact.set(text.subarray(0, at))
  wipeSecureBuffer(text)
  for (const { entry } of entries) wipeSecureBuffer(entry)
  return exact
}

/**
 * Reads a recovery file, as written or typed in: empty lines, comments, upper case and more spaces do not matter.
 *
 * @param text  the file's bytes; wiping them is the caller's
 * @throws KEY_FILE_WRONG       with what is wrong, and in which line
 * @throws VERSION_UNSUPPORTED  written by a newer version
 */
export function parseKeyFile(text: Buffer): KeyRing {
  if (text.length > KEY_FILE_BYTES_MAX) throw fault('KEY_FILE_WRONG', { expected: `at most ${KEY_FILE_BYTES_MAX} bytes`, found: `${text.length}` })
  const entries: SecureBuffer[] = []
  try {
    let hasTitle = false
    let isEnded = false
    let number = 0
    for (const line of linesOf(text)) {
      number++
      const words = wordsOf(line)
      const first = words[0]
      if (!first || first[0] === 0x23) continue
      const wrong = (expected: string, found: string): Error => fault('KEY_FILE_WRONG', { expected: `${expected} in line ${number}`, found })
      if (!hasTitle) {
        checkTitle(line, wrong)
        hasTitle = true
      } else if (isEnded) throw wrong('nothing behind the end', 'more')
      else if (isWord(first, 'key')) entries.push(readKeyLine(words, entries.length + 1, wrong))
      else if (isWord(first, 'end')) {
        checkEndLine(words, entries, wrong)
        isEnded = true
      } else throw wrong('key or end', 'another word')
    }
    if (!hasTitle) throw fault('KEY_FILE_WRONG', { expected: `a file that begins with "${TITLE}"`, found: 'another' })
    if (!isEnded) throw fault('KEY_FILE_WRONG', { expected: 'an end line', found: 'a file that was cut' })
    return keyRingOf(entries.map(entry => ({ epoch: entry.readUInt32LE(0), key: entry.subarray(4) })))
  } finally {
    for (const entry of entries) wipeSecureBuffer(entry)
  }
}

type Wrong = (expected: string, found: string) => Error

function checkTitle(line: Buffer, wrong: Wrong): void {
  const match = /^Holdfast recovery file (\d{1,9})$/i.exec(
    wordsOf(line)
      .map(word => word.toString('latin1'))
      .join(' '),
  )
  if (!match) throw wrong(`"${TITLE} ${KEY_FILE_VERSION}"`, 'something else')
  if (Number(match[1]) > KEY_FILE_VERSION) throw protocolFault('VERSION_UNSUPPORTED', { expected: `recovery file ${KEY_FILE_VERSION}`, found: `${match[1]}` })
  if (Number(match[1]) !== KEY_FILE_VERSION) throw wrong(`version ${KEY_FILE_VERSION}`, `${match[1]}`)
}

// key EPOCH HEX… check HEX; returns epoch (u32 LE) ‖ key
function readKeyLine(words: readonly Buffer[], epoch: number, wrong: Wrong): SecureBuffer {
  const checkAt = words.length - 2
  if (checkAt < 2 || !isWord(words[checkAt] as Buffer, 'check')) throw wrong('a key and its check', 'another line')
  if (epoch > EPOCHS_MAX || !isWord(words[1] as Buffer, String(epoch))) throw wrong(`key ${epoch}`, 'another number')
  const entry = secureBuffer(4 + KEY_BYTES)
  entry.writeUInt32LE(epoch, 0)
  const isKey = readHex(words.slice(2, checkAt), entry.subarray(4))
  const check = Buffer.alloc(CHECK_BYTES)
  if (isKey && readHex(words.slice(checkAt + 1), check) && check.equals(checkOf(LINE_CONTEXT, [entry]))) return entry
  wipeSecureBuffer(entry)
  throw isKey ? wrong('a key that fits its check', 'a typing error') : wrong(`${KEY_BYTES * 2} hex digits`, 'something else')
}

// end COUNT check HEX
function checkEndLine(words: readonly Buffer[], entries: readonly SecureBuffer[], wrong: Wrong): void {
  const check = Buffer.alloc(CHECK_BYTES)
  const isWhole = words.length === 4 && isWord(words[2] as Buffer, 'check') && readHex(words.slice(3), check)
  if (!isWhole) throw wrong('end, the number of keys and their check', 'another line')
  if (entries.length === 0 || !isWord(words[1] as Buffer, String(entries.length))) throw wrong(`end ${entries.length}`, 'another number: a key line is missing')
  if (!check.equals(checkOf(FILE_CONTEXT, entries))) throw wrong('keys that fit the check of the file', 'others')
}

const checkOf = (context: string, entries: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha256').update(context, 'latin1')
  for (const entry of entries) hash.update(entry)
  return hash.digest().subarray(0, CHECK_BYTES)
}

function entriesOf(ring: KeyRing): { epoch: number; entry: SecureBuffer }[] {
  return ring.epochs.map(epoch => {
    const entry = secureBuffer(4 + KEY_BYTES)
    entry.writeUInt32LE(epoch, 0)
    entry.set(ring.keyOf(epoch) as Buffer, 4)
    return { epoch, entry }
  })
}

function* linesOf(text: Buffer): Generator<Buffer> {
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf(0x0a, from)
    yield text.subarray(from, end < 0 ? text.length : end)
    from = end < 0 ? text.length : end + 1
  }
}

const isSpace = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0d

function wordsOf(line: Buffer): Buffer[] {
  const words: Buffer[] = []
  for (let at = 0; at < line.length; ) {
    let end = at
    while (end < line.length && !isSpace(line[end])) end++
    if (end > at) words.push(line.subarray(at, end))
    at = end + 1
  }
  return words
}

const isWord = (word: Buffer, text: string): boolean => word.length === text.length && word.toString('latin1').toLowerCase() === text

/** Fills `target` from hex digits; false if they are not exactly that. */
function readHex(words: readonly Buffer[], target: Buffer): boolean {
  let digits = 0
  for (const word of words) {
    for (const character of word) {
      const digit = DIGITS.indexOf(character >= 0x41 && character <= 0x46 ? character + 0x20 : character)
      if (digit < 0 || digits >= target.length * 2) return false
      target[digits >> 1] = digits % 2 === 0 ? digit << 4 : (target[digits >> 1] as number) | digit
      digits++
    }
  }
  return digits === target.length * 2
}

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?')
