import { generateKeyPairSync, sign } from 'node:crypto'
import test from 'ava'
import { MANIFEST_BYTES_MAX, openManifest, SLOT_BYTES_MAX, signManifest, UKI_BYTES_MAX, VERSION_MAX } from '../../image/update/manifest.ts'
import { MAKER, makeRelease } from './release.ts'

const { manifest, lines } = makeRelease(2)
const hash = 'a'.repeat(64)

test('a manifest that was signed is read as it was', t => {
  t.deepEqual(openManifest(Buffer.from(lines), MAKER.publicKey), manifest)
})

test('no byte of a signed manifest can be another', t => {
  const bytes = Buffer.from(lines)
  for (let at = 0; at < bytes.length; at++) {
    for (const bit of [1, 0x20, 0x80]) {
      const changed = Buffer.from(bytes)
      changed.writeUInt8(changed.readUInt8(at) ^ bit, at)
      const error = t.throws(() => openManifest(changed, MAKER.publicKey), undefined, `byte ${at}`)
      t.regex(error.message, /^UPDATE_(NOT_SIGNED|INVALID): /)
    }
  }
})

test('a manifest that another key signed is refused', t => {
  const other = generateKeyPairSync('ed25519')
  t.like(
    t.throws(() => openManifest(Buffer.from(signManifest(manifest, other.privateKey)), MAKER.publicKey)),
    { code: 'UPDATE_NOT_SIGNED' },
  )
})

test('a signature is over a manifest of releases, and of nothing else', t => {
  const [line = ''] = lines.split('\n')
  const signature = sign(null, Buffer.from(line), MAKER.privateKey).toString('base64')
  t.like(
    t.throws(() => openManifest(Buffer.from(`${line}\n${signature}\n`), MAKER.publicKey)),
    { code: 'UPDATE_NOT_SIGNED' },
  )
})

const { artifacts } = manifest
for (const [what, changes] of [
  ['a version of 0', { version: 0 }],
  ['a version that is no integer', { version: 2.5 }],
  ['a version that is text', { version: '2' }],
  ['a version above the highest', { version: VERSION_MAX + 1 }],
  ['a root hash in capitals', { root_hash: hash.toUpperCase() }],
  ['a root hash that is too short', { root_hash: hash.slice(1) }],
  ['a field that nobody knows', { priority: 'high' }],
  ['a root that is no multiple of a block', { artifacts: { ...artifacts, root: { bytes: 4097, sha256: hash } } }],
  ['a root of no bytes', { artifacts: { ...artifacts, root: { bytes: 0, sha256: hash } } }],
  ['a root larger than any slot', { artifacts: { ...artifacts, root: { bytes: SLOT_BYTES_MAX + 4096, sha256: hash } } }],
  ['a UKI larger than the ESP has room for', { artifacts: { ...artifacts, uki: { bytes: UKI_BYTES_MAX + 1, sha256: hash } } }],
  ['an artifact that nobody knows', { artifacts: { ...artifacts, firmware: { bytes: 4096, sha256: hash } } }],
  ['no hashes', { artifacts: { root: artifacts.root, uki: artifacts.uki } }],
] as const) {
  test(`a manifest with ${what} is not signed, and not read if it were`, t => {
    const wrong = { ...manifest, ...changes } as unknown as typeof manifest
    t.like(
      t.throws(() => signManifest(wrong, MAKER.privateKey)),
      { code: 'UPDATE_INVALID' },
    )
    const line = JSON.stringify(wrong)
    const signature = sign(null, Buffer.from(`holdfast release manifest 1\n${line}`), MAKER.privateKey).toString('base64')
    t.like(
      t.throws(() => openManifest(Buffer.from(`${line}\n${signature}\n`), MAKER.publicKey)),
      { code: 'UPDATE_INVALID' },
    )
  })
}

test('a manifest fits into its limit with the largest numbers in it', t => {
  const largest = { bytes: SLOT_BYTES_MAX, sha256: hash }
  const full = { ...manifest, version: VERSION_MAX, artifacts: { root: largest, verity: largest, uki: { bytes: UKI_BYTES_MAX, sha256: hash } } }
  t.true(signManifest(full, MAKER.privateKey).length <= MANIFEST_BYTES_MAX)
})

test('two UKIs of the largest size fit on the ESP of 512 MiB', t => {
  t.true(2 * UKI_BYTES_MAX < 500 * 1024 ** 2)
})
