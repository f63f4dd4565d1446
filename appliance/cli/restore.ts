// holdfast-appliance restore: a restore for somebody else, in two steps. `ask` says what an approver has to release, and
// `fetch` writes the archive file: an interrupted download goes on where it was. Or `push`, and another device restores it.
// `show` says how it stands, and `cancel` ends it.
import { closeSync, fsyncSync, openSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { fault as cliFault } from '#cli/errors.ts'
import type { Frame } from '#cli/frame.ts'
import { readPassword } from '#cli/password.ts'
import { type AskedRestore, RESTORE_PATHS, type ShownRestore } from '#protocol/restore-api.ts'
import { askAdmin, openAdmin } from './admin-client.ts'
import { linesOf } from './shown-restore.ts'
import { writeStream } from './write-stream.ts'

type SignIn = { readonly as: string; readonly passwordFile?: string }
type WantedOptions = SignIn & { readonly reason: string; readonly device?: string; readonly at: string }
type AskOptions = WantedOptions & { readonly format: string }
type PushOptions = WantedOptions & { readonly toDevice: string; readonly to: string; readonly onConflict: string; readonly resume?: true }
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
      const body = { ...(await wanted(user, paths, options)), format: options.format }
      const asked = (await askAdmin(frame, 'POST', RESTORE_PATHS.ask, body)) as AskedRestore
      frame.result(asked, [
        `Asked: restore ${asked.restore}, until ${new Date(asked.until_ms).toLocaleTimeString()}. An approver other than you releases it:`,
        `  holdfast-keystore approve ${asked.request} --connection FILE --as NAME`,
        'Then fetch it:',
        `  holdfast-appliance restore fetch ${asked.restore} --as ${options.as} --to FILE --home ${frame.home()}`,
      ])
    })
  registerPush(restore, frame)
  registerShow(restore, frame)
  registerCancel(restore, frame)
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
      const answer = await openAdmin(frame, 'POST', RESTORE_PATHS.fetch, { administrator: options.as, password, restore: id, from_bytes })
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
      frame.result({ restore: id, file: path, bytes, from_bytes, elapsed_ms: Math.round(performance.now() - start_ms) }, [
        `Written to ${path}: ${bytes} bytes, all of it checked.`,
      ])
    })
}

function registerPush(restore: Command, frame: Frame): void {
  restore
    .command('push')
    .description('ask for a restore that another paired device carries out (holdfast receive); an approver has to release it')
    .argument('<user>', 'whose files')
    .argument('[paths...]', 'absolute paths as they were backed up; none: everything')
    .requiredOption('--to-device <id>', 'the beginning of the id of the device that restores them, of the same tenant')
    .requiredOption('--to <folder>', 'where to, under the directory that the owner of that device named; . is that itself')
    .addOption(new Option('--on-conflict <rule>', 'when something is in the place of a file').choices(['rename', 'overwrite', 'skip']).default('rename'))
    .option('--resume', 'take over what an earlier push has left there, after checking it')
    .requiredOption('--as <administrator>', 'who you are')
    .requiredOption('--reason <text>', 'why; it is recorded, and shown to the owner')
    .option('--device <id>', 'the beginning of the id of the device that backed them up, if the user has several')
    .option('--at <snapshot>', 'the id of a snapshot, or newest', 'newest')
    .option('--password-file <file>', 'read your password from the first line of a file, or of standard input (-)')
    .action(async (user: string, paths: string[], options: PushOptions) => {
      const body = {
        ...(await wanted(user, paths, options)),
        to_device: options.toDevice,
        folder: options.to.replace(/^\.$|\/+$/g, ''),
        on_conflict: options.onConflict,
        is_resume: options.resume === true,
      }
      const asked = (await askAdmin(frame, 'POST', RESTORE_PATHS.push, body)) as AskedRestore
      frame.result(asked, [
        `Asked: restore ${asked.restore}, until ${new Date(asked.until_ms).toLocaleTimeString()}. An approver other than you releases it:`,
        `  holdfast-keystore approve ${asked.request} --connection FILE --as NAME`,
        'Then the device begins by itself, if `holdfast receive` runs there. How it stands:',
        `  holdfast-appliance restore show ${asked.restore} --as ${options.as} --home ${frame.home()}`,
      ])
    })
}

function registerShow(restore: Command, frame: Frame): void {
  restore
    .command('show')
    .description('show how it stands with a restore: who released it, how far it has come, what came of it')
    .argument('<restore>', 'its id')
    .requiredOption('--as <administrator>', 'who you are')
    .option('--password-file <file>', 'read your password from the first line of a file, or of standard input (-)')
    .action(async (id: string, options: SignIn) => {
      const body = { ...(await signIn(options)), restore: id }
      const shown = (await askAdmin(frame, 'POST', RESTORE_PATHS.show, body)) as ShownRestore
      frame.result(shown, linesOf(shown))
    })
}

function registerCancel(restore: Command, frame: Frame): void {
  restore
    .command('cancel')
    .description('end a restore, asked for by whomever in your tenant: nothing more is opened, and one that is under way stops')
    .argument('<restore>', 'its id')
    .requiredOption('--as <administrator>', 'who you are')
    .option('--password-file <file>', 'read your password from the first line of a file, or of standard input (-)')
    .action(async (id: string, options: SignIn) => {
      await askAdmin(frame, 'POST', RESTORE_PATHS.cancel, { ...(await signIn(options)), restore: id })
      frame.result({ restore: id, state: 'ended' }, [`Restore ${id} is cancelled. What was restored until now stays where it is.`])
    })
}

const signIn = async ({ as, passwordFile }: SignIn): Promise<{ administrator: string; password: string }> => ({
  administrator: as,
  password: await readPassword(`Password of the administrator ${as}: `, passwordFile),
})

const wanted = async (user: string, paths: readonly string[], options: WantedOptions) => ({
  ...(await signIn(options)),
  user,
  snapshot: options.at,
  reason: options.reason,
  // Paths of this machine's command line are UTF-8; in a snapshot they are bytes.
  paths: paths.map(path => Buffer.from(path.replace(/^\/+|\/+$/g, '')).toString('latin1')),
  ...(options.device === undefined ? {} : { device: options.device }),
})

function openFile(path: string, isResumed: boolean): number {
  try {
    return openSync(path, isResumed ? 'a' : 'wx', 0o600)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw code === 'EEXIST' ? cliFault('FILE_EXISTS', { found: path }) : cliFault('FILE_UNUSABLE', { found: `${path}: ${code ?? ''}`, cause: error })
  }
}
