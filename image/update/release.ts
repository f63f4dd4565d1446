// Publishes a release: the three files that a build made, the signed manifest of them, and the bundle of all four.
import { createHash, type KeyObject } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { copyFile, open, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fault } from './errors.ts'
import { ARTIFACTS, type Artifact, type ArtifactName, PRODUCT, signManifest } from './manifest.ts'
import { BLOCK_BYTES, PIECE_BYTES } from './media.ts'

/** The names of a release's files, as an update looks for them in a folder. */
export const releaseNames = (version: number) => ({
  bundle: `holdfast_${version}.update`,
  manifest: `holdfast_${version}.manifest`,
  root: `holdfast_${version}.root`,
  verity: `holdfast_${version}.verity`,
  uki: `holdfast_${version}.efi`,
})

/**
 * Completes a folder that has root, hashes and UKI of a release by their names: cuts the zeros off that fill the two up to
 * their partitions, and adds manifest and bundle.
 *
 * @param key  Ed25519, private
 * @returns    the path of the bundle
 * @throws UPDATE_INVALID if no appliance would take it
 */
export async function publish(folder: string, version: number, key: KeyObject): Promise<string> {
  const { bundle, manifest, ...names } = releaseNames(version)
  const at = (name: string): string => join(folder, name)
  for (const name of ['root', 'verity'] as const) await cutZeros(at(names[name]))
  const artifacts = Object.fromEntries(await Promise.all(ARTIFACTS.map(async name => [name, await artifactOf(at(names[name]))]))) as Record<
    ArtifactName,
    Artifact
  >
  const lines = signManifest({ product: PRODUCT, version, root_hash: await rootHashIn(at(names.uki)), artifacts }, key)
  await writeFile(at(manifest), lines)
  await copyFile(at(manifest), at(`${bundle}.new`))
  for (const name of ARTIFACTS) await pipeline(createReadStream(at(names[name])), (await open(at(`${bundle}.new`), 'a')).createWriteStream())
  await rename(at(`${bundle}.new`), at(bundle))
  return at(bundle)
}

/** The root hash that a UKI starts with. */
async function rootHashIn(uki: string): Promise<string> {
  const found = [...(await readFile(uki)).toString('latin1').matchAll(/\broothash=([0-9a-f]{64})\b/g)].map(match => match[1] ?? '')
  const [root_hash] = new Set(found)
  if (root_hash === undefined || new Set(found).size !== 1) throw fault('UPDATE_INVALID', { expected: 'one root hash in the UKI', found: `${found.length}` })
  return root_hash
}

/** Leaves whole blocks. */
async function cutZeros(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    let end = (await file.stat()).size
    const piece = Buffer.alloc(PIECE_BYTES)
    for (;;) {
      const begin = Math.max(0, end - PIECE_BYTES)
      const { bytesRead } = await file.read(piece, 0, end - begin, begin)
      const last = piece.subarray(0, bytesRead).findLastIndex(byte => byte !== 0)
      if (last !== -1 || begin === 0) {
        await file.truncate(Math.ceil((begin + last + 1) / BLOCK_BYTES) * BLOCK_BYTES)
        return
      }
      end = begin
    }
  } finally {
    await file.close()
  }
}

async function artifactOf(path: string): Promise<Artifact> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return { bytes: (await stat(path)).size, sha256: hash.digest('hex') }
}
