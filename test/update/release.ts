// Small releases for tests: random content of the right shape, signed by a key of the test's.
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { type Manifest, PRODUCT, signManifest } from '../../image/update/manifest.ts'

export const MAKER = generateKeyPairSync('ed25519')

export const ROOT_PARTITION_BYTES = 256 * 1024
export const VERITY_PARTITION_BYTES = 16 * 1024

export type TestRelease = {
  readonly version: number
  readonly root_hash: string
  readonly content: { readonly root: Buffer; readonly verity: Buffer; readonly uki: Buffer }
  readonly manifest: Manifest
  /** Both lines. */
  readonly lines: string
  readonly bundle: Buffer
}

/** Bytes that depend on nothing but a word. */
const bytesOf = (word: string, length: number): Buffer => createHash('shake256', { outputLength: length }).update(word).digest()

export type ReleaseChanges = { readonly manifest?: object; readonly key?: KeyObject; readonly uki?: Buffer }

export function makeRelease(version: number, changes: ReleaseChanges = {}): TestRelease {
  const content = {
    root: bytesOf(`root ${version}`, 200 * 1024),
    verity: bytesOf(`verity ${version}`, 8 * 1024),
    uki: changes.uki ?? Buffer.concat([Buffer.from('MZ'), bytesOf(`uki ${version}`, 70_001)]),
  }
  const root_hash = createHash('sha256').update(content.root).digest('hex')
  const artifactOf = (bytes: Buffer) => ({ bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') })
  const manifest: Manifest = {
    product: PRODUCT,
    version,
    root_hash,
    artifacts: { root: artifactOf(content.root), verity: artifactOf(content.verity), uki: artifactOf(content.uki) },
    ...changes.manifest,
  }
  const lines = signManifest(manifest, changes.key ?? MAKER.privateKey)
  return { version, root_hash, content, manifest, lines, bundle: Buffer.concat([Buffer.from(lines), content.root, content.verity, content.uki]) }
}

/** A source that gives its bytes in pieces. */
export async function* inPieces(bytes: Buffer, piece_bytes = 50_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += piece_bytes) yield bytes.subarray(at, at + piece_bytes)
}
