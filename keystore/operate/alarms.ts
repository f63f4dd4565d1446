// What somebody must look at now. Progress with unsealing is in no audit log: whoever polls is the only one who can see it.
import type { Status } from './status.ts'

export const CERTIFICATE_DAYS_MIN = 30
export const SNAPSHOT_HOURS_MAX = 24
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

export const ALARMS = {
  unsealing: 'somebody gives shares to unseal it',
  'making-root': 'somebody makes a root token',
  'making-shares': 'somebody makes new shares',
  sealed: 'it is sealed',
  uninitialised: 'it was never initialised',
  unreachable: 'it does not answer',
  untrusted: 'its certificate is of another CA, or not valid now',
  'audit-full': 'it cannot write its audit log, so it gives nothing out',
  unknown: 'it answers something unexpected',
  leaderless: 'no node is active',
  'voters-few': 'not every node votes: fewer may die than should',
  unseen: 'the token shows nothing: it has ended, or may not see this',
  'certificate-ends': 'a certificate ends soon',
  flood: 'more was asked for than is allowed, by the appliance or by whoever has its signing key',
  'snapshot-old': 'the last snapshot is old, or there is none',
} as const
export type AlarmKind = keyof typeof ALARMS
export type Alarm = { readonly kind: AlarmKind; readonly where: string; readonly text: string }

/** @param hasToken whether what only a token shows was asked for */
export function alarmsOf(status: Status, now_ms: number, hasToken: boolean): Alarm[] {
  const found: Alarm[] = []
  const alarm = (kind: AlarmKind, where: string, more = ''): void => void found.push({ kind, where, text: `${ALARMS[kind]}${more}` })
  for (const { address, state, seal, certificate_end_ms } of status.nodes) {
    if (state !== 'active' && state !== 'standby') alarm(state, address)
    if (seal && seal.progress > 0) alarm('unsealing', address, `: ${seal.progress} of ${seal.t}`)
    if (certificate_end_ms !== undefined && certificate_end_ms - now_ms < CERTIFICATE_DAYS_MIN * DAY_MS)
      alarm('certificate-ends', address, `: ${dayOf(certificate_end_ms)}`)
  }
  if (!status.nodes.some(({ state }) => state === 'active' || state === 'audit-full')) alarm('leaderless', 'keystore')
  if (status.client_certificate_end_ms - now_ms < CERTIFICATE_DAYS_MIN * DAY_MS)
    alarm('certificate-ends', 'our own', `: ${dayOf(status.client_certificate_end_ms)}`)
  for (const { tenant } of status.floods ?? []) alarm('flood', `tenant ${tenant}`)
  const { inside, snapshot } = status
  if (inside?.is_making_root === true) alarm('making-root', 'keystore')
  if (inside?.is_making_shares === true) alarm('making-shares', 'keystore')
  if (inside?.voters && inside.voters.length < status.nodes.length) alarm('voters-few', 'keystore', `: ${inside.voters.length} of ${status.nodes.length}`)
  if (hasToken && Object.values(inside ?? { all: undefined }).includes(undefined)) alarm('unseen', 'keystore')
  if (snapshot === null) alarm('snapshot-old', 'snapshots', ': none')
  else if (snapshot !== undefined && now_ms - snapshot.taken_ms > SNAPSHOT_HOURS_MAX * HOUR_MS)
    alarm('snapshot-old', 'snapshots', `: ${Math.floor((now_ms - snapshot.taken_ms) / HOUR_MS)} hours`)
  return found
}

/** What began and what ended between two looks. */
export function changesOf(before: readonly Alarm[], after: readonly Alarm[]): { readonly begun: readonly Alarm[]; readonly ended: readonly Alarm[] } {
  const isIn = (all: readonly Alarm[], { kind, where, text }: Alarm): boolean => all.some(one => one.kind === kind && one.where === where && one.text === text)
  return {
    begun: after.filter(one => !isIn(before, one)),
    ended: before.filter(one => !after.some(({ kind, where }) => kind === one.kind && where === one.where)),
  }
}

const dayOf = (at_ms: number): string => new Date(at_ms).toISOString().slice(0, 10)
