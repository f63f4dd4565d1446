// holdfast-appliance restore: a restore for somebody else, in two steps. `ask` says what an approver has to release;
// `fetch` writes the archive file. An interrupted download goes on where it was.
import { closeSync, fsyncSync, openSync, statSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { adminSocketOf } from '#authority/authority.ts'
import { fault as cliFault } from '#cli/errors.ts'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { fault, faultFromAnswer } from '#protocol/errors.ts'
import { JSON_BYTES_MAX } from '#protocol/limits.ts'
import { type AskedRestore, RESTORE_PATHS } from '#protocol/restore-api.ts'
import { askAdmin } from './admin-client.ts'
import { writeStream } from './write-stream.ts'

type AskOptions = {
  readonly as: string
  readonly reason: string
  readonly device?: string
  readonly at: string
  readonly format: string
  readonly passwordFile?: string
}
type FetchOptions = { readonly as: string; readonly to: string; readonly resume?: true; readonly passwordFile?: string }

export function registerRestore(program: Command, frame: Frame): void {
  const restore = program.command('restore').description('restore files of somebody else; another person has to agree at the keystore')
  restore
    .command('ask')
    .description('ask for a restore; nothing is opened before an approver has released it')
    .argument('<user>', 'whose files')
    .argument('[paths...]', 'absolute paths as they were backed up; none: everything')
    .requiredOption('--as <administrator>', 'who you are')
    .requiredOption('--reason <text>', 'why; it is recorded, and shown to the owner')
    .option('--device <id>', 'the beginning of the id of the device, if the user has several')
    .option('--at <snapshot>', 'the id of a snapshot, or newest', 'newest')
    .addOption(new Option('--format <format>', 'of the archive file').choices(['tar', 'zip']).default('tar'))
    .option('--password-file <file>', 'read your password from the first line of a file, or of standard input (-)')
    .action(async (user: string, paths: string[], options: AskOptions) => {
      const password = await readPassword(`Password of the administrator ${options.as}: `, options.passwordFile)
      const body = {
        administrator: options.as,
        password,
        user,
        snapshot: options.at,
        format: options.format,
        reason: options.reason,
        // Paths of this machine's command line are UTF-8; in a snapshot they are bytes.
        paths: paths.map(path => Buffer.from(path.replace(/^\/+|\/+$/g, '')).toString('latin1')),
        ...(options.device === undefined ? {} : { device: options.device }),
      }
      const asked = (await askAdmin(frame.home(), frame.version, 'POST', RESTORE_PATHS.ask, body)) as AskedRestore
      frame.result(asked, [
        `Asked: restore ${asked.restore}, until ${new Date(asked.until_ms).toLocaleTimeString()}. An approver other than you releases it:`,
        `  holdfast-keystore approve ${asked.request} --connection FILE --as NAME`,
        'Then fetch it:',
        `  holdfast-appliance restore fetch ${asked.restore} --as ${options.as} --to FILE --home ${frame.home()}`,
      ])
    })
  restore
    .command('fetch')
    .description('fetch a released restore as an archive file')
    .argument('<restore>', 'its id')
    .requiredOption('--as <administrator>', 'who you are')
    .requiredOption('--to <file>', 'the file to write; it must not exist yet')
    .option('--resume', 'go on with a file that an interrupted download has left')
    .option('--password-file <file>', 'read your password from the first line of a file, or of standard input (-)')
    .action(async (id: string, options: FetchOptions) => {
      const password = await readPassword(`Password of the administrator ${options.as}: `, options.passwordFile)
      const path = resolve(options.to)
      const from_bytes = options.resume === true ? (statSync(path, { throwIfNoEntry: false })?.size ?? 0) : 0
      const start_ms = performance.now()
      const answer = await openFetch(frame.home(), { administrator: options.as, password, restore: id, from_bytes })
      const wanted_bytes = Number(answer.headers['content-length'])
      const file = openFile(path, options.resume === true)
      try {
        await writeStream(answer, file, wanted_bytes, bytes => frame.progress.update({ done_bytes: bytes, total_bytes: wanted_bytes, note: path }))
        fsyncSync(file)
      } finally {
        closeSync(file)
        frame.progress.clear()
      }
      const bytes = from_bytes + wanted_bytes
      frame.result({ restore: id, file: path, bytes, elapsed_ms: Math.round(performance.now() - start_ms) }, [
        `Written to ${path}: ${bytes} bytes, all of it checked.`,
      ])
    })
}

/** The answer, once it has begun. @throws what the authority answers */
function openFetch(home: string, body: object): Promise<IncomingMessage> {
  const sent = Buffer.from(JSON.stringify(body))
  return new Promise((resolve_, reject) => {
    const asked = httpRequest(
      {
        socketPath: adminSocketOf(home),
        path: RESTORE_PATHS.fetch,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': sent.length },
      },
      answer => {
        if (answer.statusCode === 200) return resolve_(answer)
        const parts: Buffer[] = []
        let bytes = 0
        answer.on('data', (part: Buffer) => {
          bytes += part.length
          if (bytes > JSON_BYTES_MAX) asked.destroy()
          else parts.push(part)
        })
        answer.on('end', () => reject(faultFromAnswer(JSON.parse(Buffer.concat(parts).toString('utf8')))))
        answer.on('error', reject)
      },
    )
    asked.on('error', cause => reject(fault('RESTORE_UNKNOWN', { found: 'an appliance that does not run', cause })))
    asked.end(sent)
  })
}

function openFile(path: string, isResumed: boolean): number {
  try {
    return openSync(path, isResumed ? 'a' : 'wx', 0o600)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw code === 'EEXIST' ? cliFault('FILE_EXISTS', { found: path }) : cliFault('FILE_UNUSABLE', { found: `${path}: ${code ?? ''}`, cause: error })
  }
}
