// Pairing links, and the pairing of a device with one: a link works once, until it expires or too many passwords were
// wrong. Of a link's secret only a hash is kept. Invariants: of two that use a link at once, one is paired; a device is
// there with its certificate, or not at all.
import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { identityHash } from '#keystore-seal/slot.ts'
import type { Pair, PairedEscrow } from '#protocol/authority-api.ts'
import { fault } from '#protocol/errors.ts'
import { LINK_MS, LINK_PASSWORD_TRIES_MAX } from '#protocol/limits.ts'
import type { Audit } from './audit.ts'
import { type KeyAndCertificate, signDevice, thumbprintOf } from './certificates.ts'
import type { Devices } from './devices.ts'
import type { Escrows } from './escrow.ts'
import { isPassword } from './passwords.ts'
import type { Slots } from './slots.ts'
import type { Change, DeviceRow, State, User } from './state.ts'
import { grantFor } from './user-keys.ts'

/** After a wrong password the next try has to wait, twice as long each time. */
const WRONG_PAUSE_MS = 500
const WRONG_PAUSE_MS_MAX = 30_000
/** How many tries of one user are kept waiting at once; more are turned away. */
const TRIES_AT_ONCE_MAX = 4

export type Pairing = ReturnType<typeof createPairing>

/** What pairing needs of the keystore. */
export type PairingEscrow = {
  readonly slots: Slots
  readonly escrows: Escrows
  /** The tenant's public key at the keystore, 32 bytes in base64. @throws TENANT_NOT_PROVISIONED */
  identityOf(tenant: string): string
}

export type PairedDevice = { readonly row: DeviceRow; readonly certificate: string; readonly escrow: PairedEscrow | null }

export function createPairing(
  state: State,
  audit: Audit,
  ca: KeyAndCertificate,
  devices: Pick<Devices, 'afterOut'>,
  escrow: PairingEscrow | undefined,
  now: () => number,
) {
  const tries = new Map<string, { count: number; last: Promise<unknown> }>()

  /** Tries of one user come one after another, so that pauses can't be got around by trying many at once. */
  const inTurn = async <Result>(user: string, act: () => Promise<Result>): Promise<Result> => {
    const entry = tries.get(user) ?? { count: 0, last: Promise.resolve() }
    if (entry.count >= TRIES_AT_ONCE_MAX) throw fault('TOO_MANY_TRIES')
    tries.set(user, entry)
    entry.count++
    const mine = entry.last.then(act)
    entry.last = mine.catch(() => {})
    try {
      return await mine
    } finally {
      if (--entry.count === 0) tries.delete(user)
    }
  }
  const usableLink = async (code_hash: string) => {
    const link = await state.get('link', code_hash)
    if (!link) throw fault('LINK_INVALID')
    if (link.expires_ms <= now()) throw fault('LINK_EXPIRED', { found: new Date(link.expires_ms).toISOString() })
    if (link.wrong_count >= LINK_PASSWORD_TRIES_MAX) throw fault('TOO_MANY_TRIES', { next: 'ask the administrator for a new link' })
    return link
  }
  /** The device whose archive is taken over. @throws DEVICE_UNKNOWN */
  const oldDevice = async (user: User, beginning: string): Promise<DeviceRow> => {
    const found = (await state.all('device')).filter(row => row.user === user.name && row.device.startsWith(beginning))
    if (found.length !== 1 || !found[0])
      throw fault('DEVICE_UNKNOWN', { expected: 'the beginning of the id of one device of this user', found: `${found.length}` })
    return found[0]
  }
  /** One archive is written by one device: those before are out in the same step. */
  const changesOut = (old: DeviceRow): Change[] => [
    { kind: 'device', id: old.device, row: { ...old, is_authorized: false, deauthorized_ms: old.deauthorized_ms ?? now() } },
    { kind: 'tell', id: old.device, row: { device: old.device, thumbprints: old.thumbprints } },
  ]
  /** The user's slot, and the device's permission to fetch the key. @throws KEYSTORE_NO_SLOT */
  const escrowOf = async (user: User, device: string): Promise<{ answer: PairedEscrow; changes: Change[]; undo(): void } | undefined> => {
    const custody = (await state.get('tenant', user.tenant))?.custody ?? 'escrowed'
    if (!escrow || custody === 'self-held') return undefined
    const identity = escrow.identityOf(user.tenant)
    const { slot, changes } = await escrow.slots.take(user)
    const is_held = (await escrow.escrows.of(user.name)) !== undefined
    return {
      answer: { identity, slot: { slot: slot.slot, public_key: slot.public_key, signature: slot.signature }, is_held, custody },
      changes: [...changes, grantFor(device, user.name, now())],
      undo: () => {
        if (changes.length > 0) escrow.slots.giveBack(slot)
      },
    }
  }

  return {
    /** The secret of a new link for a user, base64url. @throws USER_UNKNOWN, USER_DISABLED, TENANT_NOT_PROVISIONED */
    async makeLink(name: string): Promise<{ code: string; expires_ms: number; keystore_sha256: string | undefined }> {
      const user = await state.get('user', name)
      if (!user) throw fault('USER_UNKNOWN', { found: name.slice(0, 80) })
      if (user.is_disabled) throw fault('USER_DISABLED')
      const isInEscrow = escrow !== undefined && (await state.get('tenant', user.tenant))?.custody !== 'self-held'
      const keystore_sha256 = isInEscrow ? identityHash(Buffer.from(escrow.identityOf(user.tenant), 'base64')) : undefined
      const code = randomBytes(32).toString('base64url')
      const code_hash = hashOf(code)
      const expires_ms = now() + LINK_MS
      await audit.record({ act: 'link.make', who: 'admin', facts: { user: name, link: code_hash.slice(0, 16) } })
      const expired = (await state.all('link')).filter(link => link.expires_ms + LINK_MS < now())
      await state.write([
        { kind: 'link', id: code_hash, row: { code_hash, user: name, made_ms: now(), expires_ms, wrong_count: 0 } },
        ...expired.map(link => ({ kind: 'link', id: link.code_hash, row: undefined }) as const),
      ])
      return { code, expires_ms, keystore_sha256 }
    },
    /** Pairs a device. @throws LINK_*, PASSWORD_WRONG, TOO_MANY_TRIES, USER_DISABLED, CSR_INVALID, DEVICE_UNKNOWN, KEYSTORE_NO_SLOT, AUDIT_FAILED */
    async pair(request: Pair): Promise<PairedDevice> {
      const code_hash = hashOf(request.code)
      const { user: name } = await usableLink(code_hash)
      return inTurn(name, async () => {
        const link = await usableLink(code_hash)
        const user = await state.get('user', name)
        if (!user) throw fault('LINK_INVALID')
        if (user.is_disabled) throw fault('USER_DISABLED')
        if (user.wrong_count > 0) await wait(Math.max(0, user.wrong_ms + pauseAfter(user.wrong_count) - now()))
        if (!(await isPassword(request.password, user.password_hash))) {
          await audit.record({ act: 'device.pair.refused', who: name, facts: { link: code_hash.slice(0, 16), reason: 'password' } })
          await state.write([
            { kind: 'link', id: code_hash, row: { ...link, wrong_count: link.wrong_count + 1 } },
            { kind: 'user', id: name, row: { ...user, wrong_count: user.wrong_count + 1, wrong_ms: now() } },
          ])
          throw fault('PASSWORD_WRONG')
        }
        const device = randomBytes(16).toString('hex')
        const old = request.take_over === undefined ? undefined : await oldDevice(user, request.take_over)
        // Also one whose pairing was done, and which never heard of it.
        const outgoing = old ? (await state.all('device')).filter(row => row.archive === old.archive && row.is_authorized) : []
        const archive = old?.archive ?? randomBytes(16).toString('hex')
        const certificate = await signDevice(ca, device, request.csr, now())
        const row: DeviceRow = {
          device,
          user: name,
          tenant: user.tenant,
          archive,
          hostname: printable(request.hostname),
          platform: printable(request.platform),
          agent_version: printable(request.agent_version),
          thumbprints: [thumbprintOf(certificate)],
          paired_ms: now(),
          is_authorized: true,
          deauthorized_ms: null,
          head: old?.head ?? null,
          head_ms: old?.head_ms ?? null,
        }
        const facts = { device, archive, hostname: row.hostname, link: code_hash.slice(0, 16), ...(old ? { instead_of: old.device } : {}) }
        const inEscrow = await escrowOf(user, device)
        try {
          await audit.record({ act: 'device.pair', who: name, facts })
          await state.write([
            { kind: 'device', id: device, row },
            { kind: 'link', id: code_hash, row: undefined },
            {
              kind: 'user',
              id: name,
              row: {
                ...user,
                wrong_count: 0,
                ...(inEscrow ? { slot: inEscrow.answer.slot.slot } : {}),
                ...(outgoing.length > 0 ? { rotate_from_ms: now() } : {}),
              },
            },
            ...(inEscrow?.changes ?? []),
            ...outgoing.flatMap(changesOut),
          ])
        } catch (error) {
          inEscrow?.undo()
          throw error
        }
        for (const { device } of outgoing) await devices.afterOut(device)
        return { row, certificate, escrow: inEscrow?.answer ?? null }
      })
    },
  }
}

const pauseAfter = (wrong: number): number => Math.min(WRONG_PAUSE_MS_MAX, WRONG_PAUSE_MS * 2 ** (wrong - 1))
const hashOf = (code: string): string => createHash('sha256').update(code).digest('hex')
const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?')
