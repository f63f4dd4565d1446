// holdfast status: what this home is, whether the appliance still knows it, and what was backed up last.
import type { Command } from 'commander'
import type { BackupSet } from '#backup/backup-set.ts'
import type { Escrow } from '#protocol/authority-api.ts'
import { EXIT, Fault, isFault } from '#protocol/fault.ts'
import type { OwnRestores } from '#protocol/restore-api.ts'
import type { Identity } from '#site/identity.ts'
import { openSite } from '#site/site.ts'
import { readAgentFile } from './agent-file.ts'
import type { Frame } from './frame.ts'
import { publicPart } from './public-part.ts'
import { withStorage } from './with-storage.ts'

type LastSnapshot = { snapshot: string; sequence: number; received_ms: number }

type Answer = {
  /** undefined: nobody could be asked. */
  readonly isAuthorized: boolean | undefined
  readonly last: LastSnapshot | undefined
  /** undefined: nobody could be asked, or there is no keystore. */
  readonly escrow: Escrow | undefined
  readonly restores: OwnRestores['restores']
  readonly error: Fault | undefined
}

export function registerStatus(program: Command, frame: Frame): void {
  program
    .command('status')
    .description('Show what this device is paired with, whether it is authorized, its last snapshot and its backup set.')
    .action(async () => {
      const home = frame.home()
      const { backup_set } = readAgentFile(home)
      await withStorage(home, async storage => {
        if (!(await storage.get('site'))) return unpaired(frame, home)
        const site = await openSite(storage, frame.signal)
        const answer = await ask(site).finally(() => site.close())
        show(frame, site.identity, answer, backup_set)
      })
    })
}

function show(frame: Frame, identity: Identity, { isAuthorized, last, escrow, restores, error }: Answer, backup_set: BackupSet | undefined): void {
  frame.result(
    {
      paired: true,
      ...publicPart(identity),
      authorized: isAuthorized ?? null,
      escrow: escrow?.held ?? null,
      last_snapshot: last ?? null,
      backup_set: backup_set ?? null,
      restored_by_others: restores,
      error: error?.code ?? null,
    },
    [
      ...described(identity),
      `authorized     ${isAuthorized === undefined ? `not known: ${error?.message ?? ''}` : isAuthorized ? 'yes' : `no: ${error?.message ?? ''}`}`,
      `user key       ${keyLine(identity, escrow)}`,
      `last snapshot  ${last ? `${last.sequence}, ${last.snapshot.slice(0, 12)}, received ${new Date(last.received_ms).toISOString()}` : isAuthorized ? 'none yet' : 'not known'}`,
      `backup set     ${backup_set ? backup_set.paths.join(', ') : 'not chosen yet: holdfast backup PATH…'}`,
      ...restores.map(
        ({ asked_ms, administrator, device, reason, state, approver, to }) =>
          `${state === 'opened' ? 'restored by' : 'asked for by'}    ${administrator} for somebody, on ${new Date(asked_ms).toLocaleString()}, of device ${device.slice(0, 8)}${to ? `, to device ${to.device.slice(0, 8)} of ${to.user}` : ''}${approver === undefined ? '' : `, released by ${approver}`}: ${reason}`,
      ),
      ...(backup_set && backup_set.excludes.length > 0 ? [`excluded       ${backup_set.excludes.join(', ')}`] : []),
    ],
  )
  if (error) frame.exit(error.exit)
}

function keyLine(identity: Identity, escrow: Escrow | undefined): string {
  if (identity.keystore_identity === undefined) return 'on this device only: keep a copy with holdfast key export --to FILE'
  if (!escrow) return 'in escrow, as far as this device knows'
  if (!escrow.held) return 'NOT in escrow: pair this device again'
  const { safe_ms, accepted_ms } = escrow.held
  return safe_ms === null
    ? `NOT YET SAFE: since ${new Date(accepted_ms).toLocaleString()} it waits at the appliance for the keystore`
    : `safe in escrow since ${new Date(safe_ms).toLocaleString()}`
}

function unpaired(frame: Frame, home: string): void {
  frame.result({ paired: false }, [`not paired: ${home}`, 'Ask the administrator for a pairing link, then: holdfast pair LINK'])
  frame.exit(EXIT.failed)
}

const described = (identity: Identity): string[] => [
  `device         ${identity.device}`,
  `user           ${identity.user} (tenant ${identity.tenant})`,
  `archive        ${identity.archive}`,
  `authority      ${identity.authority}`,
  `storage node   ${identity.storage}`,
]

async function ask(site: Awaited<ReturnType<typeof openSite>>): Promise<Answer> {
  try {
    const device = await site.device()
    const escrow = site.identity.keystore_identity === undefined ? undefined : await site.escrow()
    const restores = site.identity.keystore_identity === undefined ? [] : (await site.ownRestores()).restores
    if (!device.head) return { isAuthorized: true, last: undefined, escrow, restores, error: undefined }
    const { snapshots } = await site.snapshots()
    return {
      isAuthorized: true,
      last: snapshots.reduce<LastSnapshot | undefined>((last, row) => (last && last.sequence > row.sequence ? last : row), undefined),
      escrow,
      restores,
      error: undefined,
    }
  } catch (error) {
    if (!(error instanceof Fault) || isFault(error, 'INTERRUPTED')) throw error
    const isRefused = isFault(error, 'DEVICE_DEAUTHORIZED', 'USER_DISABLED', 'CERTIFICATE_REQUIRED')
    return { isAuthorized: isRefused ? false : undefined, last: undefined, escrow: undefined, restores: [], error }
  }
}
