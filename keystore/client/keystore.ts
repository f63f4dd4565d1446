// The keystore as the authority sees it: hand an escrow over, make slots ahead of need, fetch one escrow for its owner.
// What it promises and what an operator has to do for it: KEYSTORE.md.
import { type AskedRestore, askRestore, type RestoreFacts } from './asked-restore.ts'
import type { Connection } from './connection.ts'
import { fault } from './errors.ts'
import { escrow, isEscrowed } from './escrow.ts'
import { checkNames } from './names.ts'
import { type Facts, type OpenedEscrow, openOwn } from './open-own.ts'
import { createOutbox } from './outbox.ts'
import { createRounds } from './rounds.ts'
import { createSigner } from './sign-in.ts'
import { createSlots } from './slots.ts'
import { type NodeReport, statesOf } from './state.ts'
import { createTransport } from './transport.ts'

export type { AskedRestore } from './asked-restore.ts'

export type Keystore = {
  /**
   * Stores a sealed W, if there is none under this name; done when the keystore has it durably.
   *
   * @returns 'there' if it was stored before, perhaps by an attempt of this call whose answer was lost
   */
  escrow(tenant: string, slot: string, kid: string, sealed: string): Promise<'stored' | 'there'>
  /** Whether an escrow is there and can be fetched. */
  isEscrowed(tenant: string, slot: string, kid: string): Promise<boolean>
  /**
   * Makes a slot, or finds it.
   *
   * @returns its public key in PEM, and the identity's signature over its statement in base64, already checked
   * @throws SLOT_UNTRUSTED
   */
  makeSlot(tenant: string, slot: string): Promise<{ public_key: string; signature: string }>
  /**
   * Fetches and opens a user's own escrow; audit first, then call this.
   *
   * @throws ESCROW_MISSING, ESCROW_UNREADABLE
   */
  openOwn(tenant: string, slot: string, kid: string, facts: Facts): Promise<OpenedEscrow>
  /**
   * Asks for a slot to be opened for somebody else than its owner; nothing is opened before an approver agrees.
   *
   * @throws ESCROW_MISSING
   */
  askRestore(tenant: string, slot: string, kid: string, facts: RestoreFacts): Promise<AskedRestore>
  /** How each node is. */
  state(): Promise<NodeReport[]>
  /** Ends all connections; acts that run fail. */
  close(): void
}

/**
 * Makes the keystore's client; nothing is sent yet. Every call may throw KEYSTORE_*; those about a node only after all
 * addresses were tried for some ten seconds.
 *
 * @param options  now: the clock that sign-ins are made by, in ms since 1970
 * @throws KEYSTORE_CONNECTION_INVALID
 */
export function createKeystore(connection: Connection, { now = Date.now }: { now?: () => number } = {}): Keystore {
  const signer = createSigner(connection, now)
  const transport = createTransport(connection)
  const rounds = createRounds(connection.addresses)
  const outbox = createOutbox(transport, signer)
  const slots = createSlots(rounds, outbox)
  const identityOf = (tenant: string): string => {
    checkNames({ tenant })
    const known = Object.hasOwn(connection.tenants, tenant) ? connection.tenants[tenant] : undefined
    if (known) return known.identity
    throw fault('KEYSTORE_NOT_FOUND', { expected: 'a tenant of the connection file', found: tenant })
  }
  return {
    escrow: (tenant, slot, kid, sealed) => escrow(rounds, outbox, tenant, slot, kid, sealed),
    isEscrowed: (tenant, slot, kid) => isEscrowed(rounds, outbox, tenant, slot, kid),
    makeSlot: async (tenant, slot) => slots.make(tenant, slot, identityOf(tenant)),
    openOwn: (tenant, slot, kid, facts) => openOwn({ transport, rounds, signer }, tenant, slot, kid, facts),
    askRestore: (tenant, slot, kid, facts) => askRestore({ transport, rounds, signer }, tenant, slot, kid, facts),
    state: () => statesOf(transport),
    close: () => transport.close(),
  }
}
