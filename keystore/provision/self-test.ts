// Tries, on the real server, what must be refused. A policy that looks right and is not, is found here and nowhere else.
import type { Connection } from '#keystore-client/connection.ts'
import { tryOperator } from './operator-trial.ts'
import { tryOutbox } from './outbox-trial.ts'
import { tryOwner } from './owner-trial.ts'
import { tryRestore } from './restore-trial.ts'
import { trySignIns } from './sign-in-trial.ts'
import { withAdmin } from './site-connection.ts'
import { type Row, withTrial } from './trial.ts'

export type { Row } from './trial.ts'

const PARTS = { owner: tryOwner, outbox: tryOutbox, 'sign-ins': trySignIns, restore: tryRestore, operator: tryOperator }

/**
 * Tries everything in slots of its own, which it makes and removes. No user's entry is read or touched.
 *
 * @param token  root: for the scratch, and for an operator's token to try
 * @returns one row for each thing that was tried; `ok` is whether the server did what it must
 * @throws KEYSTORE_* if the trial itself could not be done
 */
export async function selfTest(connection: Connection, token: string, tenant: string): Promise<readonly Row[]> {
  return withAdmin(connection, token, ({ address }, transport) => withTrial({ connection, tenant, transport, address, token }, PARTS))
}
