// What the authority's outbox can do, and what not: it hands over, and can neither read nor spoil what is there.
import { randomBytes } from 'node:crypto'
import { IDENTITY_KEY, kvOf, transitOf } from '#keystore-client/names.ts'
import type { Method } from '#keystore-client/transport.ts'
import { attempt, note, type Trial, tokenFor } from './trial.ts'

/** Rows of the outbox' role. */
export async function tryOutbox(trial: Trial): Promise<void> {
  const { tenant, stranger, mine, others, keystore } = trial
  const token = await tokenFor(trial, 'outbox', 'outbox')
  const [kv, transit] = [kvOf(tenant), transitOf(tenant)]
  const [data, metadata] = [`${kv}/data/${mine.slot}/${mine.kid}`, `${kv}/metadata/${mine.slot}/${mine.kid}`]
  const replacing = (cas: number): object => ({ options: { cas }, data: { sealed: others.sealed } })
  const another = `${transit}/keys/s-${randomBytes(16).toString('hex')}`
  const tries: readonly [what: string, expected: number, path: string, body?: object | undefined, method?: Method][] = [
    ['the outbox reads an escrow', 403, data, undefined, 'GET'],
    ['the outbox replaces an escrow, as if there were none', 403, data, replacing(0)],
    ['the outbox replaces an escrow, as its next version', 403, data, replacing(1)],
    ['the outbox changes an escrow', 403, data, replacing(1), 'PATCH'],
    ['the outbox deletes an escrow', 403, data, undefined, 'DELETE'],
    ['the outbox deletes an escrow with its history', 403, metadata, undefined, 'DELETE'],
    ['the outbox destroys a version', 403, `${kv}/destroy/${mine.slot}/${mine.kid}`, { versions: [1] }],
    [
      'the outbox writes without saying that there is none',
      400,
      `${kv}/data/${mine.slot}/1-${randomBytes(16).toString('hex')}`,
      { data: { sealed: mine.sealed } },
    ],
    ['the outbox lists slots', 403, `${kv}/metadata`, undefined, 'LIST'],
    ['the outbox opens an escrow', 403, `${transit}/decrypt/${mine.slot}`, { ciphertext: mine.sealed }],
    ['the outbox makes a slot whose key can be exported', 403, another, { type: 'rsa-3072', exportable: true }],
    ['the outbox makes a key of another type', 403, another, { type: 'aes256-gcm96' }],
    ['the outbox makes a key of no type', 403, another, {}],
    ["the outbox changes a slot's key", 403, `${transit}/keys/${mine.slot}/config`, { exportable: true }],
    ["the outbox turns a slot's key over", 403, `${transit}/keys/${mine.slot}/rotate`, {}],
    ['the outbox signs with a slot', 403, `${transit}/sign/${mine.slot}`, { input: 'AAAA' }],
    ['the outbox exports the identity key', 403, `${transit}/export/signing-key/${IDENTITY_KEY}`, undefined, 'GET'],
    ["the outbox writes to another tenant's slots", 403, `${kvOf(stranger)}/data/${mine.slot}/${mine.kid}`, replacing(0)],
  ]
  for (const [what, expected, path, body, method = 'POST'] of tries) await attempt(trial, what, expected, { token, method, path, body })
  note(trial, 'handing the same over again', 'there', await keystore.escrow(tenant, mine.slot, mine.kid, mine.sealed))
}
