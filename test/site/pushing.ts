// A site whose administrators push restores: a keystore with approvers, ann's device with something to restore, ben's that it
// is pushed to.
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { openApprover } from '#keystore-client/approval.ts'
import { readAccess } from '#keystore-client/connection.ts'
import { createTransport } from '#keystore-client/transport.ts'
import { type AskedRestore, RESTORE_PATHS, type ShownRestore } from '#protocol/restore-api.ts'
import { type Ended, holdfast } from '../agent/cli/holdfast.ts'
import { startKeystore, type TestKeystore } from './keystore.ts'
import { PASSWORD, startSite, type TestSite } from './site.ts'

const FILES = 24
const FILE_BYTES = 8_000_000

export type Received = { readonly child: ChildProcess; readonly ended: Promise<Ended>; said(): string }

export type Pushing = {
  readonly folder: string
  readonly site: TestSite
  readonly keystore: TestKeystore
  /** What ann backed up: some files, and enough large ones that a restore of them can be met in the middle. */
  readonly tree: string
  readonly ann: string
  readonly ben: string
  /** Of their devices. `push` goes to that of ben. */
  readonly ids: { readonly ann: string; ben: string }
  /** Pairs one more device of ben, which takes over the one that `ids` names, and is there instead. */
  takeOver(name: string): Promise<string>
  readonly password: string
  appliance(...parameters: string[]): Promise<Ended>
  /** `restore push ann …` by an administrator, as it ends. */
  pushEnded(...more: string[]): Promise<Ended>
  push(...more: string[]): Promise<AskedRestore>
  /** What `restore push` and `restore ask` send, by iris; throws what is answered. A process less than the command. */
  ask(path: string, more: object): Promise<AskedRestore>
  approve(name: string, request: string): Promise<Ended>
  /** What `approve` does, by otto; a process less. */
  release(request: string): Promise<void>
  show(restore: string): Promise<ShownRestore>
  /** Waits until `show` says that. */
  until(restore: string, isSo: (shown: ShownRestore) => boolean): Promise<ShownRestore>
  /** `holdfast receive` on a device, until it ends. */
  receive(home: string, into: string, ...more: string[]): Received
  acts(): { act: string; who: string; facts: Record<string, unknown> }[]
  close(): Promise<void>
}

/** @param isLarge  with the large files */
export async function startPushing({ isLarge }: { isLarge: boolean }): Promise<Pushing> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-push-'))
  const approverPassword = join(folder, 'approver-password')
  writeFileSync(approverPassword, 'a password at the keystore\n', { mode: 0o600 })
  const keystore = await startKeystore(folder, { names: ['iris', 'otto'], passwordFile: approverPassword })
  const site = await startSite({ folder: join(folder, 'site'), keystore: keystore.connection })
  const password = join(site.folder, 'password')
  const children: ChildProcess[] = []
  const tree = join(folder, 'tree')
  mkdirSync(join(tree, 'letters'), { recursive: true })
  writeFileSync(join(tree, 'letters', 'one'), 'what somebody else needs')
  writeFileSync(join(tree, 'letters', 'two'), 'and this too')
  // Alike within, so quickly backed up; each is written whole.
  if (isLarge) for (let file = 0; file < FILES; file++) writeFileSync(join(tree, `large-${file}`), Buffer.alloc(FILE_BYTES, `file ${file}, line after line\n`))
  const ann = await site.pair('ann-1')
  await site.agentJson(ann, 'backup', tree)
  await site.appliance('user', 'add', 'ben', '--password-file', password)
  const pairBen = async (name: string, ...more: string[]): Promise<string> => {
    const link = (await site.appliance('link', 'ben')).split('\n').find(line => line.startsWith('holdfast://')) ?? ''
    const home = join(folder, name)
    const paired = await holdfast(['pair', link, '--home', home, '--password-file', password, ...more])
    if (paired.code !== 0) throw new Error(paired.err)
    return home
  }
  const ben = await pairBen('ben-1')
  for (const name of ['iris', 'otto']) await site.appliance('administrator', 'add', name, '--password-file', password)
  const idOf = async (home: string): Promise<string> => (await site.agentJson<{ device: string }>(home, 'status')).device
  const ids = { ann: await idOf(ann), ben: await idOf(ben) }
  while ((await site.agentJson<{ escrow: { safe_ms: number | null } | null }>(ann, 'status')).escrow?.safe_ms === null) await pause(100)

  const transport = createTransport(readAccess(keystore.connection))
  const appliance = (...parameters: string[]): Promise<Ended> => holdfast([...parameters, '--home', site.home], { launcher: 'holdfast-appliance' })
  const json = <Answer>({ code, out, err }: Ended): Answer => {
    if (code !== 0) throw new Error(err)
    return JSON.parse(out) as Answer
  }
  const pushing: Pushing = {
    folder,
    site,
    keystore,
    tree,
    ann,
    ben,
    ids,
    async takeOver(name) {
      const home = await pairBen(name, '--take-over', ids.ben)
      ids.ben = await idOf(home)
      return home
    },
    password,
    appliance,
    pushEnded: (...more) =>
      appliance(
        'restore',
        'push',
        'ann',
        ...more,
        '--to-device',
        ids.ben,
        '--as',
        'iris',
        '--reason',
        'she is on leave',
        '--password-file',
        password,
        '--json',
      ),
    push: async (...more) => json<AskedRestore>(await pushing.pushEnded(...more)),
    ask: (path, more) =>
      askSocket<AskedRestore>(join(site.home, 'authority', 'admin.sock'), path, {
        administrator: 'iris',
        password: PASSWORD,
        user: 'ann',
        snapshot: 'newest',
        paths: [],
        reason: 'she is on leave',
        ...more,
      }),
    async release(request) {
      const approver = await openApprover(transport, 'default', 'otto', 'a password at the keystore')
      await approver.release(request)
      await approver.close()
    },
    approve: (name, request) =>
      holdfast(['approve', request, '--connection', keystore.connection, '--as', name, '--password-file', approverPassword, '--json'], {
        launcher: 'holdfast-keystore',
      }),
    show: restore =>
      askSocket<ShownRestore>(join(site.home, 'authority', 'admin.sock'), RESTORE_PATHS.show, { administrator: 'iris', password: PASSWORD, restore }),
    async until(restore, isSo) {
      for (;;) {
        const shown = await pushing.show(restore)
        if (isSo(shown)) return shown
        await pause(200)
      }
    },
    receive(home, into, ...more) {
      let [child, said]: [ChildProcess | undefined, string] = [undefined, '']
      const ended = holdfast(['receive', '--home', home, '--into', into, '--json', ...more], {
        cwd: folder,
        onStart: it => {
          child = it
          it.stderr?.on('data', (part: Buffer) => {
            said += part.toString()
          })
        },
      })
      if (!child) throw new Error('a command that did not start')
      children.push(child)
      return { child, ended, said: () => said }
    },
    acts: () =>
      readFileSync(join(site.home, 'authority', 'audit.log'), 'utf8')
        .trim()
        .split('\n')
        .map(line => ({ facts: {}, ...(JSON.parse(line) as { act: string; who: string; facts?: Record<string, unknown> }) })),
    async close() {
      // A test that failed may have left one stopped, which would be waited for.
      for (const child of children) child.kill('SIGKILL')
      transport.close()
      await site.close()
      await keystore.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  return pushing
}

/** What the command sends; a process less. */
function askSocket<Answer>(socketPath: string, path: string, body: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, method: 'POST', headers: { 'content-type': 'application/json' } }, answer => {
      let text = ''
      answer.on('data', (part: Buffer) => {
        text += part.toString()
      })
      answer.on('end', () => (answer.statusCode === 200 ? resolve(JSON.parse(text) as Answer) : reject(new Error(text))))
    })
    asked.on('error', reject)
    asked.end(JSON.stringify(body))
  })
}

/** Waits until the restore has begun to write. */
export async function untilInTheMiddle(target: string): Promise<void> {
  while (!(existsSync(target) && readdirSync(target).length > 0)) await pause(5)
}

/** All that is in a folder, temporary files too. */
export const namesIn = (target: string): Set<string> => new Set(readdirSync(target, { recursive: true, encoding: 'utf8' }))

/** Whether all that is large is there, under its name. */
export const isWhole = (target: string): boolean => readdirSync(target).filter(name => /^large-\d+$/.test(name)).length === FILES
