// Where a password comes from: a prompt without echo, the first line of a file, or of standard input. Never an argument.
import { readFileSync } from 'node:fs'
import { fault } from './errors.ts'

const PASSWORD_BYTES_MAX = 1024

/**
 * Asks for a password, or reads it.
 *
 * @param file  a path, '-' for standard input, undefined for the prompt
 * @throws PASSWORD_MISSING, FILE_UNUSABLE, INTERRUPTED
 */
export async function readPassword(question: string, file: string | undefined): Promise<string> {
  const bytes = file === undefined ? await prompt(question) : firstLine(readSource(file))
  try {
    if (bytes.length === 0) throw fault('PASSWORD_MISSING')
    if (bytes.length > PASSWORD_BYTES_MAX) throw fault('PASSWORD_MISSING', { expected: `at most ${PASSWORD_BYTES_MAX} bytes`, found: `${bytes.length}` })
    return bytes.toString('utf8')
  } finally {
    bytes.fill(0)
  }
}

function readSource(file: string): Buffer {
  try {
    return readFileSync(file === '-' ? 0 : file)
  } catch (error) {
    throw fault('FILE_UNUSABLE', { found: `${file}: ${(error as NodeJS.ErrnoException).code ?? 'not readable'}`, cause: error })
  }
}

function firstLine(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0x0a)
  const line = end < 0 ? bytes : bytes.subarray(0, end)
  return line.at(-1) === 0x0d ? line.subarray(0, -1) : line
}

const KEYS = { interrupt: 0x03, end: 0x04, backspace: 0x08, enter: 0x0d, newline: 0x0a, clear: 0x15, delete: 0x7f }

function prompt(question: string): Promise<Buffer> {
  const { stdin, stderr } = process
  if (!stdin.isTTY) throw fault('PASSWORD_MISSING', { found: 'no terminal to ask at' })
  return new Promise((resolve, reject) => {
    const typed = Buffer.alloc(PASSWORD_BYTES_MAX)
    let length = 0
    const end = (): void => {
      stdin.off('data', onData)
      stdin.setRawMode(false)
      stdin.pause()
      stderr.write('\n')
    }
    const onData = (part: Buffer): void => {
      for (const byte of part) {
        if (byte === KEYS.enter || byte === KEYS.newline || byte === KEYS.end) {
          end()
          return resolve(typed.subarray(0, length))
        }
        if (byte === KEYS.interrupt) {
          end()
          return reject(fault('INTERRUPTED'))
        }
        if (byte === KEYS.clear) length = 0
        else if (byte === KEYS.backspace || byte === KEYS.delete) length = withoutLast(typed, length)
        else if (byte >= 0x20 && length < typed.length) typed[length++] = byte
      }
    }
    stderr.write(question)
    stdin.setRawMode(true)
    stdin.on('data', onData)
    stdin.resume()
  })
}

/** The length without the last character, which may be several bytes of UTF-8. */
function withoutLast(typed: Buffer, length: number): number {
  let shorter = length - 1
  while (shorter > 0 && ((typed[shorter] ?? 0) & 0xc0) === 0x80) shorter--
  return Math.max(0, shorter)
}
