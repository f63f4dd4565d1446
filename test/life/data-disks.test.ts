// Data disks: real encryption and a real btrfs, on loop devices.
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { membersOf } from '#image-life/btrfs.ts'
import { readDataDisks } from '#image-life/data-disks.ts'
import { listDisks } from '#image-life/list-disks.ts'
import { checkRecoveryKey, mappedPath } from '#image-life/luks.ts'
import { mountData } from '#image-life/mount-data.ts'
import type { Place } from '#image-life/place.ts'
import { settle } from '#image-life/settle.ts'
import { type Confirmed, replaceDisk, useDisks } from '#image-life/use-disks.ts'
import { addState, hasEncryption, makeDisks, needingEncryption, RECOVERY_KEY, type TestDisks } from './disks.ts'
import { refused } from './refused.ts'

const ARCHIVES = ['00112233445566778899aabbccddeeff', 'ffeeddccbbaa99887766554433221100']
const run = hasEncryption ? test.serial : test.skip

/** Archives with some segments each; returns what has to be there from then on. */
function makeArchives(place: Place): Map<string, string> {
  for (const archive of ARCHIVES) {
    mkdirSync(join(place.archives, archive), { recursive: true, mode: 0o700 })
    for (const name of ['00000001.segment', '00000002.segment']) writeFileSync(join(place.archives, archive, name), randomBytes(1_500_000), { mode: 0o600 })
  }
  return archivesOf(place)
}

function archivesOf(place: Place): Map<string, string> {
  const found = new Map<string, string>()
  for (const archive of readdirSync(place.archives)) {
    for (const name of readdirSync(join(place.archives, archive)))
      found.set(
        `${archive}/${name}`,
        createHash('sha256')
          .update(readFileSync(join(place.archives, archive, name)))
          .digest('hex'),
      )
  }
  return found
}

async function confirmed(place: Place, serial: string): Promise<Confirmed> {
  const disk = (await listDisks(place)).disks.find(one => one.serial === serial)
  if (!disk) throw new Error(`${serial} is not listed`)
  return { serial, size_bytes: disk.size_bytes, content: disk.content }
}

const silently = (): void => undefined

async function withDisks(
  count: number,
  act: (disks: TestDisks, serials: string[], before: Map<string, string>) => Promise<void>,
  onStop?: () => void,
): Promise<void> {
  const disks = makeDisks(onStop ? { onStop } : {})
  try {
    addState(disks)
    const before = makeArchives(disks.place)
    const serials = Array.from({ length: count }, () => disks.add())
    await act(disks, serials, before)
  } finally {
    disks.close()
  }
}

run(needingEncryption('a disk is not touched if something else is on it than was confirmed, or if the recovery key is another'), t =>
  withDisks(1, async ({ place }, [one = ''], before) => {
    const seen = await confirmed(place, one)
    t.is(seen.content, 'nothing')
    execFileSync('mkfs.ext4', ['-q', '-L', 'photos', `/dev/${one}`])
    await refused(t, 'DISK_CHANGED', useDisks(place, [seen], RECOVERY_KEY, silently))
    const now = await confirmed(place, one)
    t.regex(now.content, /^ext4 "photos" \([0-9a-f]{8}\)$/)
    await refused(t, 'RECOVERY_KEY_WRONG', useDisks(place, [now], RECOVERY_KEY.replaceAll('c', 'v'), silently))
    t.deepEqual(await confirmed(place, one), now)
    t.deepEqual(archivesOf(place), before)
  }),
)

run(needingEncryption('archives move onto a disk with what is written meanwhile, are there again after a restart, and no longer on the state'), async t => {
  let place: Place | undefined
  const newest = join(ARCHIVES[0] ?? '', '00000002.segment')
  const onStop = (): void => appendFileSync(join(place?.archives ?? '', newest), 'written while the others were copied')
  await withDisks(
    1,
    async (disks, [one = '']) => {
      place = disks.place
      const steps = new Set<string>()
      await useDisks(place, [await confirmed(place, one)], RECOVERY_KEY, progress => steps.add((progress as { step: string }).step))
      t.deepEqual([...steps].sort(), ['check', 'copy', 'format'])
      t.true(readFileSync(join(place.archives, newest), 'latin1').endsWith('written while the others were copied'))
      const after = archivesOf(place)
      t.is(after.size, 4)
      disks.closeAll()
      t.deepEqual(readdirSync(place.archives), [], 'the old copy is gone')
      await mountData(place, 0)
      t.deepEqual(archivesOf(place), after)
      await t.notThrowsAsync(checkRecoveryKey(`/dev/${one}`, RECOVERY_KEY))
      const listed = (await listDisks(place)).disks.find(disk => disk.serial === one)
      t.is(listed?.use, 'data')
      t.deepEqual(
        (await readDataDisks(place))?.disks.map(disk => [disk.serial, disk.part, disk.is_stale]),
        [[one, 'member', false]],
      )
    },
    onStop,
  )
})

run(needingEncryption('a move that fails leaves the archives where they were, and can be made again'), t =>
  withDisks(1, async (disks, [one = ''], before) => {
    const failing = { ...disks.place, stopStorage: () => Promise.reject(new Error('the power went off')) }
    await t.throwsAsync(useDisks(failing, [await confirmed(failing, one)], RECOVERY_KEY, silently), { message: 'the power went off' })
    t.is(await readDataDisks(failing), undefined)
    t.deepEqual(archivesOf(failing), before)
    t.is((await mountData(failing, 0)).is, 'on the state')
    await useDisks(disks.place, [await confirmed(disks.place, one)], RECOVERY_KEY, silently)
    t.deepEqual(archivesOf(disks.place), before)
  }),
)

run(
  needingEncryption('with one of two disks gone archives are read and written, and the one that missed something is not used alone until it has all of it'),
  t =>
    withDisks(2, async (disks, [one = '', two = ''], before) => {
      const { place } = disks
      await useDisks(place, [await confirmed(place, one), await confirmed(place, two)], RECOVERY_KEY, silently)
      disks.closeAll()
      disks.disconnect(two)
      const mounted = await mountData(place, 0)
      t.true(mounted.is === 'mounted' && mounted.missing.map(({ serial }) => serial).join() === two)
      t.deepEqual(archivesOf(place), before)
      writeFileSync(join(place.archives, ARCHIVES[0] ?? '', '00000003.segment'), randomBytes(3_000_000))
      const after = archivesOf(place)

      disks.closeAll()
      disks.disconnect(one)
      disks.connect(two)
      await refused(t, 'DISK_STALE', mountData(place, 0))
      disks.closeAll()
      disks.disconnect(two)
      await refused(t, 'DISK_MISSING', mountData(place, 0))

      disks.connect(one)
      disks.connect(two)
      disks.closeAll()
      t.deepEqual(await mountData(place, 0), { is: 'mounted', missing: [] })
      await settle(place, silently)
      t.deepEqual(archivesOf(place), after)
      t.deepEqual(
        (await readDataDisks(place))?.disks.map(({ is_stale }) => is_stale),
        [false, false],
      )

      disks.closeAll()
      disks.disconnect(one)
      await mountData(place, 0)
      t.deepEqual(archivesOf(place), after, 'the one that was away has all of it')
    }),
)

run(needingEncryption('a lost disk is replaced by a new one, which then has everything; one disk becomes two'), t =>
  withDisks(3, async (disks, [one = '', two = '', three = ''], before) => {
    const { place } = disks
    await useDisks(place, [await confirmed(place, one)], RECOVERY_KEY, silently)
    await useDisks(place, [await confirmed(place, two)], RECOVERY_KEY, silently)
    await refused(t, 'DISKS_IN_USE', useDisks(place, [await confirmed(place, three)], RECOVERY_KEY, silently))
    disks.closeAll()
    disks.disconnect(one)
    await mountData(place, 0)
    await replaceDisk(place, one, await confirmed(place, three), RECOVERY_KEY, silently)
    t.deepEqual(
      (await readDataDisks(place))?.disks.map(({ serial, part }) => [serial, part]),
      [
        [two, 'member'],
        [three, 'member'],
      ],
    )
    const known = await readDataDisks(place)
    t.true((await membersOf(place.archives, known?.filesystem ?? '')).every(({ isMissing, errors }) => !isMissing && errors === 0))

    disks.closeAll()
    disks.disconnect(two)
    await mountData(place, 0)
    t.deepEqual(archivesOf(place), before)
    t.true(existsSync(mappedPath(known?.disks[1]?.luks ?? '')))
  }),
)
