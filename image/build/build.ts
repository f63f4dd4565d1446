// The steps of a build, in order: what this machine needs, mkosi, keys, our program, the image, its parts and what is said of them.
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { openManifest } from '#image-update/manifest.ts'
import { publish, releaseNames } from '#image-update/release.ts'
import { fault } from './errors.ts'
import { haveHostPackages } from './host-packages.ts'
import { haveKeys } from './keys.ts'
import { mirrorOf } from './mirror.ts'
import { getMkosi, runMkosi } from './mkosi.ts'
import { layOutProgram } from './program.ts'
import { writeSbom } from './sbom.ts'

const ROOT_BYTES_MAX = 350 * 1024 * 1024

export type BuildOrder = {
  /** The release. */
  readonly version: number
  /** Kept between builds. */
  readonly cache: string
  readonly output: string
  /** The folder of signing keys. */
  readonly keys: string
  /** Folders that are laid over the root too. */
  readonly extra: readonly string[]
  /** Also what it takes to start the image here. */
  readonly isToStart: boolean
  readonly epoch_s: number
}

export type Built = {
  /** To be written to a disk as it is. */
  readonly disk: string
  /** What an update takes; its parts and their signed manifest lie beside it. */
  readonly bundle: string
  readonly sbom: string
  readonly root_bytes: number
  readonly root_hash: string
  readonly elapsed_ms: number
}

/**
 * Builds an image.
 *
 * @throws HOST_PACKAGES_MISSING, MIRROR_UNKNOWN, MKOSI_OTHER, BUILD_KEYS_DAMAGED, ROOT_TOO_LARGE, IMAGE_BUILD_FAILED
 */
export async function buildImage(order: BuildOrder): Promise<Built> {
  const begun_ms = performance.now()
  const log = (name: string): string => join(order.output, 'logs', `${name}.log`)
  mkdirSync(order.output, { recursive: true })
  await haveHostPackages(order.isToStart, log('host-packages'))
  const mirror = mirrorOf()
  const python = await getMkosi(order.cache, mirror, log('mkosi-package'))
  const keys = await haveKeys(order.keys, log('keys'))
  const program = join(order.output, 'program')
  await layOutProgram(program, { version: order.version }, keys.updatePublic, log('program'))
  process.stderr.write(`image: building version ${order.version} (log: ${log('mkosi')}) …\n`)
  const made = join(order.output, 'made')
  rmSync(made, { recursive: true, force: true })
  await runMkosi(
    order.cache,
    python,
    mirror,
    {
      version: order.version,
      trees: [program, ...order.extra],
      output: made,
      pcrKey: keys.pcrKey,
      pcrCertificate: keys.pcrCertificate,
      epoch_s: order.epoch_s,
    },
    log('mkosi'),
  )
  const names = releaseNames(order.version)
  const moveTo = (name: string, as: string): string => {
    const to = join(order.output, as)
    renameSync(join(made, `holdfast_${order.version}${name}`), to)
    return to
  }
  const disk = moveTo('.raw', 'disk.raw')
  const root = moveTo('.root.raw', names.root)
  moveTo('.verity.raw', names.verity)
  moveTo('.efi', names.uki)
  const sbom = join(order.output, 'sbom.cdx.json')
  writeSbom(sbom, join(made, `holdfast_${order.version}.manifest`), order.version, order.epoch_s)
  const bundle = await publish(order.output, order.version, createPrivateKey(readFileSync(keys.updateKey)))
  const root_bytes = statSync(root).size
  if (root_bytes > ROOT_BYTES_MAX) throw fault('ROOT_TOO_LARGE', { expected: `at most ${ROOT_BYTES_MAX} bytes`, found: `${root_bytes}` })
  const { root_hash } = openManifest(readFileSync(join(order.output, names.manifest)), createPublicKey(readFileSync(keys.updatePublic)))
  rmSync(made, { recursive: true })
  rmSync(program, { recursive: true })
  return { disk, bundle, sbom, root_bytes, root_hash, elapsed_ms: Math.round(performance.now() - begun_ms) }
}
