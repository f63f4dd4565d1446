// What needs attention, on a real file system that fills up.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { RESERVE_BYTES } from '#archive/store.ts'
import { ARCHIVES_RESERVE_BYTES, look } from '#image-life/health.ts'
import { keepSealedKey } from '#image-life/keep-sealed-key.ts'
import { placeAt } from '#image-life/place.ts'
import { hasDisks, needingDisks } from './disks.ts'

const MIB = 1024 * 1024
const codesOf = (items: readonly { code: string }[]): string[] => items.map(({ code }) => code).filter(code => code !== 'service-failed')

test('what counts as reserve is what the storage node keeps free', t => {
  t.is(ARCHIVES_RESERVE_BYTES, RESERVE_BYTES)
})

const onDisk = hasDisks ? test : test.skip
onDisk(needingDisks('that the disk of the archives fills up is said before backups end, and no longer when there is room again'), async t => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-health-'))
  const image = join(folder, 'disk.img')
  writeFileSync(image, '')
  truncateSync(image, 1200 * MIB)
  execFileSync('mkfs.ext4', ['-q', '-m', '0', image])
  const home = join(folder, 'home')
  mkdirSync(home)
  execFileSync('mount', ['-o', 'loop', image, home])
  try {
    const place = placeAt(home, join(folder, 'run'), folder, { stopStorage: () => Promise.resolve(), startStorage: () => Promise.resolve() })
    t.deepEqual(codesOf(await look(place, 1)), [], 'a machine without a site')
    mkdirSync(place.archives, { recursive: true })
    t.deepEqual(codesOf(await look(place, 1)), [])
    const much = join(home, 'much')
    execFileSync('fallocate', ['-l', `${560 * MIB}`, much])
    t.deepEqual(codesOf(await look(place, 2)), ['archives-full'])
    rmSync(much)
    t.deepEqual(codesOf(await look(place, 3)), [])
  } finally {
    execFileSync('umount', [home])
    rmSync(folder, { recursive: true, force: true })
  }
})

test('the recovery key that is in escrow goes onto the ESP, and stays as it is there', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-sealed-key-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const [home, run, esp] = [join(folder, 'home'), join(folder, 'run'), join(folder, 'esp')]
  for (const path of [home, run, esp]) mkdirSync(path)
  const place = placeAt(home, run, folder, { stopStorage: () => Promise.resolve(), startStorage: () => Promise.resolve() })
  const there = join(esp, 'holdfast-recovery-key.age')
  await keepSealedKey(place, () => esp)
  t.deepEqual(readdirSync(esp), [], 'a site without a keystore has none')
  writeFileSync(join(home, 'recovery-key.age'), 'sealed')
  writeFileSync(there, 'of the site before')
  await keepSealedKey(place, () => esp)
  t.is(readFileSync(there, 'utf8'), 'sealed')
  await keepSealedKey(place, () => t.fail('looks once a start') as never)
})
