// The ceremony's first step: the keystore makes its seal, and hands out each share encrypted to its holder's PGP key, and
// the root token encrypted to whoever sets it up. No share is ever in clear here, nor on any disk.
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checked, faultOfAnswer } from '#keystore-client/answers.ts'
import type { Transport } from '#keystore-client/transport.ts'
import { Type } from '#protocol/typebox.js'
import { writeNew } from './durable-file.ts'
import { fault } from './errors.ts'
import { sealStatusOf } from './seal-status.ts'

const PATH = 'sys/init'
const KEY_BYTES_MAX = 256 * 1024
const Encrypted = Type.String({ pattern: '^[A-Za-z0-9+/]+=*$', maxLength: 65_536 })
const Initialized = Type.Object({ keys_base64: Type.Array(Encrypted, { minItems: 1, maxItems: 255 }), root_token: Encrypted })

export type Ceremony = {
  /** Files with one public key each, one for each share: as `gpg --export` gives it, with or without --armor. */
  readonly pgp_keys: readonly string[]
  readonly root_pgp_key: string
  /** Shares that it takes to unseal. */
  readonly threshold: number
  /** Where the encrypted shares and the encrypted root token go: a new folder. */
  readonly out: string
}

/**
 * Initialises a keystore at one of its nodes.
 *
 * @returns the files that were written: `share-<n>.pgp` in the order of the keys, and `root-token.pgp`
 * @throws CEREMONY_REFUSED  it is initialised already, the folder is there, or a file is no PGP key; nothing was done
 * @throws KEYSTORE_REQUEST_INVALID  the server does not take a key, for example one that cannot encrypt; nothing was done
 */
export async function initialise(transport: Transport, address: string, { pgp_keys, root_pgp_key, threshold, out }: Ceremony): Promise<readonly string[]> {
  const keys = pgp_keys.map(publicKeyIn)
  const body = { secret_shares: keys.length, secret_threshold: threshold, pgp_keys: keys, root_token_pgp_key: publicKeyIn(root_pgp_key) }
  if (threshold < 2 || threshold > keys.length)
    throw fault('CEREMONY_REFUSED', { expected: `2 to ${keys.length} shares to unseal with`, found: `${threshold}` })
  if (existsSync(out)) throw fault('CEREMONY_REFUSED', { expected: 'a folder that is not there yet', found: out })
  if ((await sealStatusOf(transport, address)).initialized)
    throw fault('CEREMONY_REFUSED', { expected: 'a keystore that is not initialised', found: `${address} is` })
  mkdirSync(out, { mode: 0o700 })
  const asked = { address, method: 'POST', path: PATH, body } as const
  const answered = await transport.send(asked)
  if (answered.status !== 200) throw await faultOfAnswer(transport, asked, answered)
  const { keys_base64, root_token } = checked(Initialized, answered.body, PATH)
  const files = [...keys_base64.map((text, at) => [`share-${at + 1}.pgp`, text] as const), ['root-token.pgp', root_token] as const]
  for (const [name, text] of files) writeNew(join(out, name), Buffer.from(text, 'base64'))
  return files.map(([name]) => join(out, name))
}

const ARMOR = /-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[A-Za-z]+: .*\r?\n)*\r?\n([A-Za-z0-9+/=\s]+?)\r?\n(?:=[A-Za-z0-9+/]{4}\r?\n)?-----END/

/** In base64, without armor, as the server wants it. */
function publicKeyIn(file: string): string {
  const bytes = readFileSync(file)
  const armored = ARMOR.exec(bytes.toString('latin1'))?.[1]?.replace(/\s+/g, '')
  // An OpenPGP packet begins with its highest bit set (RFC 9580, 4.2).
  if (armored !== undefined) return armored
  if (bytes.length > 0 && bytes.length <= KEY_BYTES_MAX && ((bytes[0] ?? 0) & 0x80) !== 0) return bytes.toString('base64')
  throw fault('CEREMONY_REFUSED', { expected: 'a PGP public key', found: `something else in ${file}` })
}
