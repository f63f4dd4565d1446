import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { hasRelease, readBundle, readFolder } from '../../image/update/bundle.ts'
import { openManifest } from '../../image/update/manifest.ts'
import { publish, releaseNames } from '../../image/update/release.ts'
import { inPieces, MAKER, makeRelease } from './release.ts'

const release = makeRelease(7)
const { artifacts } = release.manifest

function folderOf(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-update-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

async function whole(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const piece of source) parts.push(piece)
  return Buffer.concat(parts)
}

for (const piece_bytes of [1, 7, 333, 4096, 1_000_000]) {
  test(`a bundle that comes in pieces of ${piece_bytes} bytes has the same parts`, async t => {
    const bundle = readBundle(inPieces(release.bundle.subarray(0, piece_bytes === 1 ? 20_000 : undefined), piece_bytes))
    t.is((await bundle.head()).toString(), release.lines)
    if (piece_bytes === 1) return
    t.true((await whole(bundle.take(artifacts.root.bytes))).equals(release.content.root))
    t.true((await whole(bundle.take(artifacts.verity.bytes))).equals(release.content.verity))
    t.true((await whole(bundle.take(artifacts.uki.bytes))).equals(release.content.uki))
    await t.notThrowsAsync(bundle.end())
  })
}

test('what an endless manifest may take of memory is bounded', async t => {
  let taken = 0
  const endless = async function* () {
    for (;;) {
      taken += 1000
      yield Buffer.alloc(1000, 0x20)
    }
  }
  t.like(await t.throwsAsync(readBundle(endless()).head()), { code: 'UPDATE_INVALID' })
  t.true(taken <= 6000)
})

test('a folder with four files is read as the bundle of them', async t => {
  const folder = folderOf(t)
  const names = releaseNames(7)
  writeFileSync(join(folder, names.manifest), release.lines)
  for (const name of ['root', 'verity', 'uki'] as const) writeFileSync(join(folder, names[name]), release.content[name])
  t.true(await hasRelease(folder))
  t.true((await whole(readFolder(folder))).equals(release.bundle))
})

test('of several releases in a folder the highest is read, by number and not by letter', async t => {
  const folder = folderOf(t)
  for (const version of [9, 10, 2]) writeFileSync(join(folder, releaseNames(version).bundle), `version ${version}`)
  writeFileSync(join(folder, 'holdfast_99.update.part'), 'no release')
  t.is((await whole(readFolder(folder))).toString(), 'version 10')
})

test('a folder without a release says so', async t => {
  const folder = folderOf(t)
  t.false(await hasRelease(folder))
  t.like(await t.throwsAsync(whole(readFolder(folder))), { code: 'UPDATE_NONE' })
})

test('a stick cannot make root read another file, nor wait', async t => {
  const folder = folderOf(t)
  const path = join(folder, releaseNames(3).bundle)
  symlinkSync('/etc/passwd', path)
  t.like(await t.throwsAsync(whole(readFolder(folder))), { code: 'UPDATE_NONE' })
  rmSync(path)
  execFileSync('mkfifo', [path])
  t.like(await t.throwsAsync(whole(readFolder(folder))), { code: 'UPDATE_NONE' })
})

test('a release that was published is read as what its manifest says, without the zeros that fill its partitions up', async t => {
  const folder = folderOf(t)
  const names = releaseNames(7)
  const uki = Buffer.concat([Buffer.from('MZ'), Buffer.from(`quiet roothash=${release.root_hash} rw=no`)])
  writeFileSync(join(folder, names.root), Buffer.concat([release.content.root, Buffer.alloc(3_000_000)]))
  writeFileSync(join(folder, names.verity), release.content.verity)
  writeFileSync(join(folder, names.uki), uki)
  const bundle = readBundle(readFolder(join(await publish(folder, 7, MAKER.privateKey), '..')))
  const manifest = openManifest(await bundle.head(), MAKER.publicKey)
  t.like(manifest, { version: 7, root_hash: release.root_hash, artifacts: { root: artifacts.root, verity: artifacts.verity, uki: { bytes: uki.length } } })
  t.true((await whole(bundle.take(artifacts.root.bytes))).equals(release.content.root))
  t.true((await whole(bundle.take(artifacts.verity.bytes))).equals(release.content.verity))
  t.true((await whole(bundle.take(uki.length))).equals(uki))
  await t.notThrowsAsync(bundle.end())
})

test('a UKI that starts with no root hash, or with two, is not published', async t => {
  const folder = folderOf(t)
  const names = releaseNames(7)
  for (const cmdline of ['quiet', `roothash=${'a'.repeat(64)} roothash=${'b'.repeat(64)}`]) {
    for (const [name, content] of [
      [names.root, release.content.root],
      [names.verity, release.content.verity],
      [names.uki, Buffer.from(`MZ ${cmdline} `)],
    ] as const)
      writeFileSync(join(folder, name), content)
    t.like(await t.throwsAsync(publish(folder, 7, MAKER.privateKey)), { code: 'UPDATE_INVALID' })
  }
})
