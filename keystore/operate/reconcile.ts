// The keystore's audit log against the authority's, both ways: whatever the keystore opened must be an act that the authority
// recorded before, and whatever the authority says it opened must be in the keystore's log; the same for keys handed over. Neither can hide from this alone:
// a stolen signing key leaves openings without acts, and a log that was cut leaves acts without openings.

import { type ActRow, type Acts, ATTEMPTS_MAX } from './acts.ts'
import { actOf, hashIn, readActs } from './authority-acts.ts'
import { eventOf, type KeystoreEvent } from './keystore-events.ts'
import { eachLine, withLines } from './log-lines.ts'

/** What can be different, in words. */
export const DIFFERENCES = {
  'opening-without-act': 'the keystore opened a key, and the authority has no act for it',
  'opening-of-another-slot': 'the keystore opened another slot than the act was for',
  'opening-repeated': 'one sign-in opened more than once',
  'opening-not-told': 'the keystore opened a key, and the authority recorded that it failed, or nothing',
  'opening-by-another-request': 'the authority names other requests of the keystore than those that opened',
  'act-without-opening': 'the authority recorded that a key was opened, and the keystore did not open it',
  'act-without-outcome': 'the authority recorded an act and nothing of what came of it, and the keystore opened nothing',
  'act-repeated': 'two acts of the authority have one jti',
  'outcome-without-act': 'the authority recorded what came of an act that it did not record',
  'escrow-without-act': 'somebody handed a key over, and the authority has no act for it',
  'escrow-of-another-slot': 'a key was handed over to another slot than the act was for',
  'act-without-escrow': 'the authority accepted a key, and the keystore never got it',
  'signing-without-slot': "the tenant's identity signed something, and no slot was made right before it",
  'sign-in-without-act': 'somebody signed in to open a key, and the authority has no act for it',
  'sign-in-repeated': 'a sign-in was repeated: two have one jti',
  export: "a slot's key was taken out of the keystore",
  'line-unreadable': "a line of the keystore's log cannot be read",
} as const
export type Kind = keyof typeof DIFFERENCES

export type Difference = {
  readonly kind: Kind
  readonly time: string
  readonly tenant?: string | undefined
  readonly slot?: string | undefined
  readonly kid?: string | undefined
  readonly jti?: string | undefined
  readonly device?: string | undefined
  /** Of the keystore. */
  readonly request_id?: string | undefined
  readonly who?: string | undefined
  /** File and byte, for what has no other name. */
  readonly where?: string | undefined
}

export type Logs = {
  /** The authority's audit log. */
  readonly authority: string
  /** The keystore's: of every node that was active, the same audit device of each; rotated ones too. */
  readonly keystore: readonly string[]
}
/** What lies outside is used, and not told. */
export type Period = { readonly since_ms: number; readonly until_ms: number }
export type Reconciled = { readonly acts: number; readonly openings: number; readonly sign_ins: number; readonly escrows: number; readonly differences: number }

/** Sign-ins that open keys, each of which must be an act; the outbox' are its own affair. */
const OPENING_ROLES: ReadonlySet<string> = new Set(['owner', 'restore'])
/** A slot is made and signed in one round. */
const SLOT_MS = 60_000
/** Slots of a tenant that were made, and whose signing is still to come: a few, unless rounds broke off. */
const UNSIGNED_MAX = 64
const JTI = /^([0-9a-f]{32})(?:-([1-9][0-9]{0,5}))?$/

/**
 * Compares, and tells each difference as soon as it is known.
 *
 * @throws LOG_BROKEN the authority's log was altered; LOG_UNREADABLE
 */
export async function reconcile(logs: Logs, period: Period, tell: (difference: Difference) => void): Promise<Reconciled> {
  const counts = { openings: 0, sign_ins: 0, escrows: 0, differences: 0 }
  const report = (difference: Difference): void => {
    const at_ms = Date.parse(difference.time)
    if (at_ms < period.since_ms || at_ms > period.until_ms) return
    counts.differences++
    tell(difference)
  }
  const { acts, escrows } = await readActs(logs.authority, (kind, act) => report({ kind, ...act }))
  const judge = createJudge(acts, escrows, report)
  for (const file of logs.keystore) {
    await eachLine(file, (line, offset, isWhole) => {
      const event = isWhole ? eventOf(line) : undefined
      if (event === undefined) return
      if (event === 'unreadable') return report({ kind: 'line-unreadable', time: timeIn(line), where: `${file}, byte ${offset}` })
      if (event.what === 'opening') counts.openings++
      if (event.what === 'sign-in') counts.sign_ins++
      if (event.what === 'escrow') counts.escrows++
      judge(event)
    })
  }
  await withLines(logs.authority, async lineAt => {
    for (const row of acts.all()) {
      const kind = kindOf(row)
      if (kind !== undefined) report({ kind, ...actOf(await lineAt(row.offset)) })
    }
    for (const offset of undelivered(escrows)) report({ kind: 'act-without-escrow', ...actOf(await lineAt(offset)) })
  })
  return { acts: acts.count(), ...counts }
}

function createJudge(acts: Acts, escrows: Acts, report: (difference: Difference) => void): (event: KeystoreEvent) => void {
  /** Attempts that have no bit in their act's row, and sign-ins that are no acts. */
  const seen = new Set<string>()
  const isRepeated = (event: KeystoreEvent, row: ActRow | undefined, attempt: number): boolean => {
    if (row && attempt < ATTEMPTS_MAX) return event.what === 'sign-in' ? row.signIn(attempt) : row.open(attempt)
    if (row && event.what === 'opening') row.open(0)
    const key = `${event.what} ${event.jti}`
    const was = seen.has(key)
    seen.add(key)
    return was
  }
  const unsigned = new Map<string, number[]>()
  const isSlotSigned = ({ tenant, time }: KeystoreEvent): boolean => {
    const made = unsigned.get(tenant) ?? []
    const signed_ms = Date.parse(time)
    const at = made.findIndex(made_ms => signed_ms >= made_ms && signed_ms - made_ms < SLOT_MS)
    if (at >= 0) made.splice(at, 1)
    return at >= 0
  }
  return event => {
    const tell = (kind: Kind): void => report({ ...told(event), kind })
    if (event.what === 'export') return tell('export')
    if (event.what === 'slot') return void unsigned.set(event.tenant, [...(unsigned.get(event.tenant) ?? []).slice(1 - UNSIGNED_MAX), Date.parse(event.time)])
    if (event.what === 'signing') return isSlotSigned(event) ? undefined : tell('signing-without-slot')
    if (event.what === 'escrow') {
      const accepted = escrows.find(hashIn(event.kid ?? ''))
      if (!accepted) return tell('escrow-without-act')
      if (accepted.slot !== event.slot) return tell('escrow-of-another-slot')
      return accepted.setMatched()
    }
    const [, jti, attempt = '1'] = JTI.exec(event.jti ?? '') ?? []
    const row = jti === undefined ? undefined : acts.find(jti)
    if (event.what === 'sign-in') {
      if (event.jti !== undefined && isRepeated(event, row, Number(attempt))) tell('sign-in-repeated')
      if (!row && OPENING_ROLES.has(event.role ?? '')) tell('sign-in-without-act')
      return
    }
    if (!row) return tell('opening-without-act')
    if (row.slot !== event.slot) return tell('opening-of-another-slot')
    if (isRepeated(event, row, Number(attempt))) tell('opening-repeated')
    if (row.isNamed(event.request_id)) row.setMatched()
  }
}

/** What is wrong with an act once everything was read. */
function kindOf(row: ActRow): Kind | undefined {
  const state = row.state()
  if (state === 'opened') return row.isMatched() ? undefined : row.hasOpened() ? 'opening-by-another-request' : 'act-without-opening'
  if (row.hasOpened()) return 'opening-not-told'
  return state === 'begun' ? 'act-without-outcome' : undefined
}

/** Where the acts of keys that the keystore never got begin: of each slot the newest only, which has all the older ones in it. */
function undelivered(escrows: Acts): number[] {
  const newest = new Map<string, { offset: number; isMatched: boolean }>()
  for (const { slot, isMatched } of escrows.all()) if (!isMatched()) newest.set(slot, { offset: -1, isMatched: false })
  for (const row of escrows.all()) {
    const known = newest.get(row.slot)
    if (known && row.offset > known.offset) newest.set(row.slot, { offset: row.offset, isMatched: row.isMatched() })
  }
  return [...newest.values()].flatMap(({ offset, isMatched }) => (isMatched ? [] : [offset]))
}

const told = ({ time, tenant, slot, kid, jti, device, request_id, who }: KeystoreEvent): Omit<Difference, 'kind'> => ({
  time,
  tenant,
  slot,
  kid,
  jti,
  device,
  request_id,
  who,
})

/** Of a line that does not read otherwise; without one it is told whatever the period. */
const timeIn = (line: Buffer): string => /"time":"([0-9T:.Z-]{10,40})"/.exec(line.toString('latin1', 0, 200))?.[1] ?? ''
