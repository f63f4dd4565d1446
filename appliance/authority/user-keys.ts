// Giving a user's key to a device that its owner has just signed in on: by pairing, which takes a link and the password.
// Invariants: the record of the act is durable before the keystore is asked; what the keystore opens is half of what the
// key takes, lies in secure memory, and leaves sealed to a key that the device made for this one answer; then it is wiped.
import { randomBytes } from 'node:crypto'
import sodium, { type SecureBuffer } from 'sodium-native'
import { KEYSTORE_ERRORS } from '#keystore-client/errors.ts'
import type { Keystore } from '#keystore-client/keystore.ts'
import { sealAnswer } from '#keystore-seal/answer-box.ts'
import type { UserKey } from '#protocol/authority-api.ts'
import { fault } from '#protocol/errors.ts'
import { Fault, isFault } from '#protocol/fault.ts'
import { KEY_GRANT_MS, KEY_GRANT_TRIES_MAX } from '#protocol/limits.ts'
import type { Alarms } from './alarms.ts'
import type { Audit } from './audit.ts'
import type { KeyLimit } from './key-limit.ts'
import type { Change, DeviceRow, EscrowRow, State } from './state.ts'

export type UserKeys = {
  /** Opens the user's key for a device. @throws KEY_NOT_GRANTED, KEY_FETCHES_LIMITED, ESCROW_NONE, ESCROW_WAITING, KEYSTORE_AWAY, KEYSTORE_TROUBLE, AUDIT_FAILED */
  open(device: DeviceRow, answerKey: Buffer): Promise<UserKey>
  /** The device has stored the key: it may not fetch it again. */
  endGrant(device: DeviceRow): Promise<void>
}

/** What has to be written when a device is paired, so that it may fetch the key of its user. */
export const grantFor = (device: string, user: string, now_ms: number): Change => ({
  kind: 'grant',
  id: device,
  row: { device, user, until_ms: now_ms + KEY_GRANT_MS, tries_left: KEY_GRANT_TRIES_MAX },
})

export type UserKeysParts = {
  readonly state: State
  readonly audit: Audit
  readonly keystore: Keystore
  readonly alarms: Alarms
  readonly limit: KeyLimit
  readonly now: () => number
}

export function createUserKeys({ state, audit, keystore, alarms, limit, now }: UserKeysParts): UserKeys {
  const openAt = async ({ tenant, slot, kid }: EscrowRow, facts: { jti: string; device: string }): Promise<SecureBuffer> => {
    try {
      const { opened, request_ids } = await keystore.openOwn(tenant, slot, kid, facts)
      await audit.record({ act: 'key.opened', who: 'keystore', facts: { jti: facts.jti, requests: request_ids.join(' ') } }).catch((error: unknown) => {
        wipe(opened)
        throw error
      })
      return opened
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      await audit.record({ act: 'key.open.failed', who: 'keystore', facts: { jti: facts.jti, code: error.code } })
      if (error.code === 'AUDIT_FAILED') throw error
      if (error.code === 'KEYSTORE_BUSY') await alarms.raise('keystore-limit', tenant, error.found ?? '')
      throw awayOrTrouble(error)
    }
  }
  return {
    async open(device, answerKey) {
      const grant = await state.get('grant', device.device)
      if (!grant || grant.until_ms <= now() || grant.tries_left <= 0) {
        await limit.refused(device.tenant)
        throw fault('KEY_NOT_GRANTED')
      }
      const escrow = await state.get('escrow', device.user)
      if (!escrow) throw fault('ESCROW_NONE')
      if (escrow.safe_ms === null) throw fault('ESCROW_WAITING')
      await limit.admit(escrow.tenant)
      const facts = { jti: randomBytes(16).toString('hex'), device: device.device }
      await audit.record({
        act: 'key.open',
        who: device.user,
        facts: { ...facts, tenant: escrow.tenant, slot: escrow.slot, kid: escrow.kid, why: 'a new device of the owner' },
      })
      const opened = await openAt(escrow, facts)
      try {
        await state.write([{ kind: 'grant', id: device.device, row: { ...grant, tries_left: grant.tries_left - 1 } }])
        const { tenant, slot, epoch, sealed_key } = escrow
        return { tenant, slot, epoch, sealed_key, opened: sealAnswer(opened, answerKey).toString('base64') }
      } finally {
        wipe(opened)
      }
    },
    endGrant: device => state.write([{ kind: 'grant', id: device.device, row: undefined }]),
  }
}

const PASSING = [
  'KEYSTORE_UNREACHABLE',
  'KEYSTORE_SEALED',
  'KEYSTORE_LEADERLESS',
  'KEYSTORE_AUDIT_FAILED',
  'KEYSTORE_FAILED',
  'KEYSTORE_BUSY',
  'KEYSTORE_CLOCK_WRONG',
]

/** What the asker is told of a failure at the keystore: whether it will pass by itself, and why it is, without where. */
export function awayOrTrouble(error: Fault): Fault {
  const texts: Readonly<Record<string, { readonly text: string }>> = KEYSTORE_ERRORS
  const why = texts[error.code]
  const found = why ? `${error.code}: ${why.text}` : error.code
  return fault(isFault(error, ...PASSING) ? 'KEYSTORE_AWAY' : 'KEYSTORE_TROUBLE', { found, cause: error })
}

function wipe(secret: SecureBuffer): void {
  sodium.sodium_memzero(secret)
  sodium.sodium_free(secret)
}
