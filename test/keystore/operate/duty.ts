// What an operator has in hand, for tests: an access file, and tokens of duties.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Duty, makeDutyToken } from '#keystore-operate/duties.ts'
import { type Ended, holdfast, type Options } from '../../agent/cli/holdfast.ts'
import { OTHER_TENANT, type Provisioned, TENANT } from '../client/provisioned.ts'

/** The access file of this keystore, in its folder. */
export function accessFile({ folder, connection: { addresses, ca, certificate, key } }: Pick<Provisioned, 'folder' | 'connection'>): string {
  const file = join(folder, 'access.json')
  writeFileSync(file, JSON.stringify({ addresses, ca, certificate, key }))
  return file
}

/** A file with a token of this duty. */
export async function tokenFile({ folder, admin }: Pick<Provisioned, 'folder' | 'admin'>, duty: Duty, tenants = [TENANT, OTHER_TENANT]): Promise<string> {
  const file = join(folder, `token-${duty}`)
  writeFileSync(file, `${await makeDutyToken(admin, duty, tenants)}\n`)
  return file
}

/** Runs holdfast-keystore. */
export const keystoreCommand = (words: readonly string[], options: Options = {}): Promise<Ended> =>
  holdfast(words, { ...options, launcher: 'holdfast-keystore' })
