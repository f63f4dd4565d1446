// What a release says of itself, and the signature that makes it true. One line of JSON, one line of base64; the
// signature is over the bytes of the first line, so there is one way to read it. UPDATE.md, "The manifest".
import { type KeyObject, sign, verify } from 'node:crypto'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'
import { BLOCK_BYTES } from './media.ts'

export const PRODUCT = 'holdfast/x86-64'
/** Both lines, in bytes. */
export const MANIFEST_BYTES_MAX = 4096
/** A root, or its hashes. */
export const SLOT_BYTES_MAX = 4 * 1024 ** 3
/** Kernel, initrd and command line. */
export const UKI_BYTES_MAX = 160 * 1024 ** 2
export const VERSION_MAX = 999_999_999
const SIGNED = 'holdfast release manifest 1\n'
const SIGNATURE = /^[A-Za-z0-9+/]{86}==$/

const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })
const artifactOf = (bytes_max: number, multipleOf: number) =>
  Type.Object({ bytes: Type.Integer({ minimum: multipleOf, maximum: bytes_max, multipleOf }), sha256: Sha256 }, { additionalProperties: false })

export const Manifest = Type.Object(
  {
    product: Type.String({ maxLength: 100 }),
    version: Type.Integer({ minimum: 1, maximum: VERSION_MAX }),
    /** Of dm-verity; its halves are the UUIDs of the partitions. */
    root_hash: Sha256,
    artifacts: Type.Object(
      { root: artifactOf(SLOT_BYTES_MAX, BLOCK_BYTES), verity: artifactOf(SLOT_BYTES_MAX, BLOCK_BYTES), uki: artifactOf(UKI_BYTES_MAX, 1) },
      { additionalProperties: false },
    ),
  },
  { additionalProperties: false },
)
export type Manifest = Static<typeof Manifest>
export type Artifact = Manifest['artifacts']['root']

/** In the order in which a bundle has them. */
export const ARTIFACTS = ['root', 'verity', 'uki'] as const satisfies readonly (keyof Manifest['artifacts'])[]
export type ArtifactName = (typeof ARTIFACTS)[number]

/**
 * Both lines of a signed manifest.
 *
 * @param key  Ed25519, private
 * @throws UPDATE_INVALID if no appliance would take it
 */
export function signManifest(manifest: Manifest, key: KeyObject): string {
  if (!Check(Manifest, manifest)) throw fault('UPDATE_INVALID', { expected: 'the shape of a manifest', found: 'another' })
  const line = JSON.stringify(manifest)
  const lines = `${line}\n${sign(null, Buffer.from(SIGNED + line), key).toString('base64')}\n`
  if (lines.length > MANIFEST_BYTES_MAX) throw fault('UPDATE_INVALID', { expected: `at most ${MANIFEST_BYTES_MAX} bytes`, found: `${lines.length}` })
  return lines
}

/**
 * Reads a signed manifest. Nothing of it is looked at before its signature was checked.
 *
 * @param key  Ed25519, public
 * @throws UPDATE_NOT_SIGNED, UPDATE_INVALID, UPDATE_OTHER_PRODUCT
 */
export function openManifest(lines: Uint8Array, key: KeyObject): Manifest {
  const [line = '', signature = '', ...rest] = Buffer.from(lines).toString('latin1').split('\n')
  if (rest.length !== 1 || rest[0] !== '' || !SIGNATURE.test(signature))
    throw fault('UPDATE_INVALID', { expected: 'a manifest and its signature', found: 'something else' })
  const signed = Buffer.concat([Buffer.from(SIGNED), Buffer.from(line, 'latin1')])
  if (!verify(null, signed, key, Buffer.from(signature, 'base64'))) throw fault('UPDATE_NOT_SIGNED')
  const value = parse(line)
  if (!Check(Manifest, value)) throw fault('UPDATE_INVALID', { expected: 'the shape of a manifest', found: 'another' })
  if (value.product !== PRODUCT) throw fault('UPDATE_OTHER_PRODUCT', { expected: PRODUCT, found: value.product })
  return value
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (cause) {
    throw fault('UPDATE_INVALID', { expected: 'JSON', found: 'something else', cause })
  }
}
