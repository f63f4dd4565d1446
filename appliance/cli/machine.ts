// holdfast-appliance machine: what root does on an appliance that is firmware, asked for from another machine. Each act says
// how far it is, and at last what came of it.
import { createHash } from 'node:crypto'
import { closeSync, createReadStream, fsyncSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { type Command, InvalidArgumentError } from 'commander'
import { Check } from 'typebox/value'
import { fault as cliFault } from '#cli/errors.ts'
import type { Frame } from '#cli/frame.ts'
import { fault, faultFromAnswer } from '#protocol/errors.ts'
import { EXIT, Fault } from '#protocol/fault.ts'
import { JSON_BYTES_MAX } from '#protocol/limits.ts'
import { MACHINE_PATHS, MachineLine } from '#protocol/machine-api.ts'
import { openAdmin } from './admin-client.ts'

/** As they are published: image/update/UPDATE.md. */
const RELEASE_NAME = /^holdfast_([1-9]\d{0,8})\.update$/

export function registerMachine(program: Command, frame: Frame): void {
  const machine = program.command('machine').description('the firmware: updates, network, disks (image/IMAGE.md has every act)')
  machine
    .command('do')
    .description('have the machine do one thing; the answer is JSON')
    .argument('<act>', 'for example update.show, network.show, disks.list')
    .argument('[values]', 'what the act needs, as a JSON object; @FILE reads it from a file: for a recovery key', objectOf)
    .action(async (act: string, values?: object) => {
      const answer = await openAdmin(frame, 'POST', MACHINE_PATHS.acts, { ...values, act })
      show(frame, await doneOf(answer, progressOf(frame)))
    })
  machine
    .command('keystore')
    .description('give the appliance another connection file of its keystore')
    .argument('<file>', 'what `holdfast-keystore provision` wrote', objectIn)
    .action(async (connection: object) => {
      const answer = await openAdmin(frame, 'POST', MACHINE_PATHS.acts, { act: 'keystore.set', connection })
      await doneOf(answer, progressOf(frame))
      frame.result({}, ['Kept. The authority restarts with it in a moment: `holdfast-appliance status` says how the keystore is.'])
    })
  machine
    .command('support')
    .description('fetch a bundle for support: journal, versions, disks, settings; no keys, no names of files')
    .argument('<file>', 'the file to write (tar, zstd); it must not exist yet')
    .action(async (file: string) => {
      const path = resolve(file)
      const hash = createHash('sha256')
      const fd = openNew(path)
      try {
        const answer = await openAdmin(frame, 'POST', MACHINE_PATHS.acts, { act: 'support.bundle' })
        const done = await doneOf(answer, ({ part }) => {
          if (typeof part !== 'string') return
          const bytes = Buffer.from(part, 'base64')
          hash.update(bytes)
          writeSync(fd, bytes)
        })
        if (hash.digest('hex') !== done['sha256']) throw fault('MACHINE_SILENT', { found: 'a bundle that did not come whole' })
        fsyncSync(fd)
        frame.result({ ...done, file: path }, [`Written to ${path}: ${String(done['bytes'])} bytes. Look into it before you send it to anybody.`])
      } catch (error) {
        rmSync(path, { force: true })
        throw error
      } finally {
        closeSync(fd)
      }
    })
  machine
    .command('update')
    .description('install a release; the machine restarts, and goes back by itself if it does not work')
    .argument('<release>', 'a release bundle, or a folder: the highest holdfast_N.update in it')
    .action(async (path: string) => {
      const { file, bytes } = releaseAt(path)
      let sent = 0
      const release = createReadStream(file, { highWaterMark: 1024 * 1024 })
      release.on('data', part => {
        sent += part.length
        frame.progress.update({ done_bytes: sent, total_bytes: bytes, note: file })
      })
      show(frame, await doneOf(await openAdmin(frame, 'POST', MACHINE_PATHS.update, release), progressOf(frame)))
    })
}

const show = (frame: Frame, done: Readonly<Record<string, unknown>>): void => frame.result(done, [JSON.stringify(done, undefined, 2)])

function objectIn(file: string): object {
  const found = statSync(file, { throwIfNoEntry: false })
  if (!found?.isFile() || found.size > JSON_BYTES_MAX) throw new InvalidArgumentError(`${file} is no file of at most ${JSON_BYTES_MAX} bytes`)
  return jsonOf(readFileSync(file, 'utf8'))
}

const objectOf = (text: string): object => (text.startsWith('@') ? objectIn(text.slice(1)) : jsonOf(text))

function jsonOf(text: string): object {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch {
    // Said below.
  }
  throw new InvalidArgumentError('a JSON object, for example {"network":{"dhcp":true}}')
}

/** @param path  of a release, or of a folder with releases */
function releaseAt(path: string): { readonly file: string; readonly bytes: number } {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found?.isFile()) return { file: path, bytes: found.size }
  const highest = Math.max(0, ...(found?.isDirectory() ? readdirSync(path) : []).map(name => Number(RELEASE_NAME.exec(name)?.[1] ?? 0)))
  if (highest === 0) throw cliFault('FILE_UNUSABLE', { found: `${path}: no release` })
  return releaseAt(join(path, `holdfast_${highest}.update`))
}

type Progress = Readonly<Record<string, unknown>>
const progressOf =
  (frame: Frame) =>
  (progress: Progress): void =>
    frame.say(Object.values(progress).join(' '))

function openNew(path: string): number {
  try {
    return openSync(path, 'wx', 0o600)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw code === 'EEXIST' ? cliFault('FILE_EXISTS', { found: path }) : cliFault('FILE_UNUSABLE', { found: `${path}: ${code ?? ''}`, cause: error })
  }
}

/** The last line. @throws the fault that it says, MACHINE_SILENT */
async function doneOf(answer: IncomingMessage, onProgress: (progress: Progress) => void): Promise<Readonly<Record<string, unknown>>> {
  for await (const text of createInterface({ input: answer, crlfDelay: Number.POSITIVE_INFINITY })) {
    const line: unknown = JSON.parse(text)
    if (!Check(MachineLine, line)) throw fault('MACHINE_SILENT', { found: 'an answer of another shape' })
    if ('progress' in line) onProgress(line.progress)
    else if ('done' in line) return line.done
    else throw faultOf(line.fault)
  }
  throw fault('MACHINE_SILENT', { found: 'an answer without an end' })
}

/** The firmware's own codes are not known here: what it says is shown as it says it. */
function faultOf(answer: Readonly<Record<string, unknown>>): Fault {
  const known = faultFromAnswer(answer)
  if (known.code !== 'INTERNAL' || answer['code'] === 'INTERNAL') return known
  const text = (key: string): string => `${typeof answer[key] === 'string' ? answer[key] : ''}`.replace(/[^\x20-\x7e]/g, '?').slice(0, 1000)
  const next = text('next')
  const said = text('message')
    .replace(`${text('code')}: `, '')
    .replace(`; ${next}`, '')
  return new Fault(text('code'), { exit: EXIT.failed, text: said, next }, {})
}
