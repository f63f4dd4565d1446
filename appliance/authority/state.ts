// The authority's state: tenants, users, links, devices, and what the storage node is still to be told. Precious: every
// write is synced before it resolves, and each row is checked when it is read. One process at a time (LevelDB's lock).
import { ClassicLevel } from 'classic-level'
import Type, { type Static, type TSchema } from 'typebox'
import { Check } from 'typebox/value'
import { Custody } from '#protocol/authority-api.ts'
import { ArchiveId, DeviceId, Epoch, Kid, Name, Pem, SlotName, Thumbprint, Time_ms } from '#protocol/names.ts'
import { OnConflict, PushFolder, PushResult, RestoreId, RestoreState, SnapshotChoice } from '#protocol/restore-api.ts'
import { Head } from '#protocol/storage-api.ts'
import { fault } from './errors.ts'

const STATE_VERSION = 1
export const SLOTS_READY_MAX = 100_000

export const Tenant = Type.Object({ name: Name, made_ms: Time_ms, custody: Type.Optional(Custody) })
export const User = Type.Object({
  name: Name,
  tenant: Name,
  password_hash: Type.String({ maxLength: 200 }),
  is_disabled: Type.Boolean(),
  made_ms: Time_ms,
  /** Wrong passwords in a row, and when the last one was. */
  wrong_count: Type.Integer({ minimum: 0 }),
  wrong_ms: Time_ms,
  /** In the keystore, from the user's first pairing on. */
  slot: Type.Optional(SlotName),
  /** When somebody lost the right to the user's key (a device that is out, a restore for somebody else): keys made before are due for a new one. */
  rotate_from_ms: Type.Optional(Time_ms),
})
export const Link = Type.Object({
  code_hash: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  user: Name,
  made_ms: Time_ms,
  expires_ms: Time_ms,
  wrong_count: Type.Integer({ minimum: 0 }),
})
export const DeviceRow = Type.Object({
  device: DeviceId,
  user: Name,
  tenant: Name,
  archive: ArchiveId,
  hostname: Type.String(),
  platform: Type.String(),
  agent_version: Type.String(),
  thumbprints: Type.Array(Thumbprint),
  paired_ms: Time_ms,
  is_authorized: Type.Boolean(),
  deauthorized_ms: Type.Union([Time_ms, Type.Null()]),
  head: Type.Union([Head, Type.Null()]),
  head_ms: Type.Union([Time_ms, Type.Null()]),
})
/** A slot that was made ahead of need; `user` is null until one has it. */
export const SlotRow = Type.Object({
  slot: SlotName,
  tenant: Name,
  public_key: Pem,
  signature: Type.String({ maxLength: 100 }),
  made_ms: Time_ms,
  user: Type.Union([Name, Type.Null()]),
})
/** The newest key of a user. What goes to the keystore stays here too: a keystore that is restored from an older snapshot needs it again. */
export const EscrowRow = Type.Object({
  user: Name,
  tenant: Name,
  slot: SlotName,
  epoch: Epoch,
  kid: Kid,
  custody: Type.Optional(Custody),
  sealed_key: Type.String(),
  sealed_w: Type.String({ maxLength: 1024 }),
  device: DeviceId,
  accepted_ms: Time_ms,
  safe_ms: Type.Union([Time_ms, Type.Null()]),
  /** The keystore lost the slot's private key (it was restored from an older snapshot): this can't be opened, a new key is due. */
  is_slot_lost: Type.Optional(Type.Boolean()),
})
/** A device that signed in by pairing and may fetch the key of its user. */
export const Grant = Type.Object({ device: DeviceId, user: Name, until_ms: Time_ms, tries_left: Type.Integer({ minimum: 0 }) })
/** Who may ask for restores for others of a tenant. */
export const Administrator = Type.Object({
  name: Name,
  tenant: Name,
  password_hash: Type.String({ maxLength: 200 }),
  made_ms: Time_ms,
  wrong_count: Type.Integer({ minimum: 0 }),
  wrong_ms: Time_ms,
})
/** Of the whole site. */
export const SiteAdministrator = Type.Object({
  name: Name,
  password_hash: Type.String({ maxLength: 200 }),
  made_ms: Time_ms,
  wrong_count: Type.Integer({ minimum: 0 }),
  wrong_ms: Time_ms,
})
/** A restore for somebody else, kept so that its owner is told. */
export const RestoreRow = Type.Object({
  id: RestoreId,
  tenant: Name,
  user: Name,
  device: DeviceId,
  administrator: Name,
  reason: Type.String(),
  asked_ms: Time_ms,
  state: RestoreState,
  /** When the key was opened for somebody: from then on the owner has been told so. */
  opened_ms: Type.Optional(Time_ms),
  approver: Type.Optional(Type.String()),
  /** Why it is done, failed or ended. */
  why: Type.Optional(Type.String()),
  push: Type.Optional(
    Type.Object({
      to_device: DeviceId,
      to_user: Name,
      snapshot: SnapshotChoice,
      folder: PushFolder,
      on_conflict: OnConflict,
      result: Type.Optional(PushResult),
    }),
  ),
})
/** What nobody has acknowledged yet. */
export const AlarmRow = Type.Object({
  kind: Type.Union([Type.Literal('key-fetches'), Type.Literal('key-refusals'), Type.Literal('keystore-limit')]),
  tenant: Name,
  found: Type.String(),
  raised_ms: Time_ms,
})
/** How many slots of each tenant are kept ready, once somebody has said another number than `init` did. */
export const SlotsReady = Type.Object({ count: Type.Integer({ minimum: 1, maximum: SLOTS_READY_MAX }) })
export const Told = Type.Object({ device: DeviceId, thumbprints: Type.Array(Thumbprint) })
export type Tenant = Static<typeof Tenant>
export type User = Static<typeof User>
export type Link = Static<typeof Link>
export type DeviceRow = Static<typeof DeviceRow>
export type Told = Static<typeof Told>
export type AlarmRow = Static<typeof AlarmRow>
export type SlotRow = Static<typeof SlotRow>
export type EscrowRow = Static<typeof EscrowRow>
export type Grant = Static<typeof Grant>
export type Administrator = Static<typeof Administrator>
export type RestoreRow = Static<typeof RestoreRow>

const KINDS = {
  tenant: Tenant,
  user: User,
  link: Link,
  device: DeviceRow,
  tell: Told,
  slot: SlotRow,
  escrow: EscrowRow,
  grant: Grant,
  administrator: Administrator,
  site_administrator: SiteAdministrator,
  restore: RestoreRow,
  alarm: AlarmRow,
  slots_ready: SlotsReady,
} as const
type Kinds = { [K in keyof typeof KINDS]: Static<(typeof KINDS)[K]> }
export type Kind = keyof Kinds
export type Change = { readonly [K in Kind]: { readonly kind: K; readonly id: string; readonly row: Kinds[K] | undefined } }[Kind]

export type State = {
  get<K extends Kind>(kind: K, id: string): Promise<Kinds[K] | undefined>
  all<K extends Kind>(kind: K): Promise<Kinds[K][]>
  /** All changes or none, durable; a row of undefined is removed. */
  write(changes: readonly Change[]): Promise<void>
  close(): Promise<void>
}

/** @throws SITE_BUSY, STATE_NEWER, STATE_DAMAGED */
export async function openState(folder: string): Promise<State> {
  const level = new ClassicLevel<string, string>(folder)
  try {
    await level.open()
  } catch (error) {
    const code = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code
    throw code === 'LEVEL_LOCKED' ? fault('SITE_BUSY') : fault('STATE_DAMAGED', { cause: error })
  }
  const version = await level.get('version')
  if (version === undefined) await level.put('version', `${STATE_VERSION}`, { sync: true })
  else if (Number(version) !== STATE_VERSION) {
    await level.close()
    throw fault('STATE_NEWER', { expected: `version ${STATE_VERSION}`, found: `version ${version.slice(0, 20)}` })
  }
  const parse = <K extends Kind>(kind: K, id: string, text: string): Kinds[K] => {
    let row: unknown
    try {
      row = JSON.parse(text)
    } catch {
      row = undefined
    }
    if (!Check(KINDS[kind] as TSchema, row)) throw fault('STATE_DAMAGED', { found: `the row ${kind} ${id}` })
    return row as Kinds[K]
  }
  return {
    async get(kind, id) {
      const text = await level.get(`${kind}!${id}`)
      return text === undefined ? undefined : parse(kind, id, text)
    },
    async all(kind) {
      const rows: Kinds[typeof kind][] = []
      for await (const [key, text] of level.iterator({ gte: `${kind}!`, lt: `${kind}"` })) rows.push(parse(kind, key.slice(kind.length + 1), text))
      return rows
    },
    write: changes =>
      level.batch(
        changes.map(({ kind, id, row }) =>
          row === undefined ? { type: 'del', key: `${kind}!${id}` } : { type: 'put', key: `${kind}!${id}`, value: JSON.stringify(row) },
        ),
        { sync: true },
      ),
    close: () => level.close(),
  }
}
