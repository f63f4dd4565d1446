import { randomInt } from 'node:crypto'
import test from 'ava'
import { applyUpdate } from '../../image/update/apply-update.ts'
import { inPieces, makeRelease } from './release.ts'
import { makeMachine } from './simulated-machine.ts'

const nobody = (): void => {}
/** Ways in which what was not synced is there or not, for each step. */
const WAYS = 3

/** xorshift32: the same numbers for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

async function stepsOfAnUpdate(): Promise<number> {
  const machine = await makeMachine()
  const before = machine.disk.operations()
  await applyUpdate(inPieces(makeRelease(2).bundle), machine.target, nobody)
  return machine.disk.operations() - before
}

test('a power cut at any step of an update leaves a machine that starts, into a whole release, and takes the update again', async t => {
  const seed = Number(process.env['HOLDFAST_SEED'] ?? randomInt(2 ** 31))
  t.log(`HOLDFAST_SEED=${seed}`)
  const random = randomFrom(seed)
  const steps = await stepsOfAnUpdate()
  t.true(steps > 15)
  const release = makeRelease(2)
  const seen = new Set<string>()
  for (let step = 1; step <= steps + 1; step++) {
    for (let way = 0; way < WAYS; way++) {
      const machine = await makeMachine()
      const before = machine.untouched()
      machine.disk.stopAfter(step)
      const ended = await applyUpdate(inPieces(release.bundle), machine.target, nobody).then(
        () => 'done',
        () => 'off',
      )
      machine.disk.powerCut(random)
      const started = await machine.bootable([machine.installed, release])
      t.is(machine.untouched(), before, `step ${step}`)
      t.true(started.includes(1), `step ${step}: ${started.join(' ')}`)
      if (ended === 'done') t.deepEqual(started, [2, 1])
      seen.add(started.join(' '))
      if (!started.includes(2)) {
        await applyUpdate(inPieces(release.bundle), machine.target, nobody)
        t.deepEqual(await machine.bootable([machine.installed, release]), [2, 1], `step ${step}, again`)
      }
    }
  }
  t.deepEqual([...seen].sort(), ['1', '2 1'])
})

test('a power cut at any step of the second update leaves the first, which runs', async t => {
  const seed = Number(process.env['HOLDFAST_SEED'] ?? randomInt(2 ** 31))
  t.log(`HOLDFAST_SEED=${seed}`)
  const random = randomFrom(seed)
  const [second, third] = [makeRelease(2), makeRelease(3)]
  for (let step = 1; step <= (await stepsOfAnUpdate()) + 1; step++) {
    const machine = await makeMachine()
    await applyUpdate(inPieces(second.bundle), machine.target, nobody)
    await machine.disk.rename('/esp/EFI/Linux/holdfast_2+3-0.efi', '/esp/EFI/Linux/holdfast_2.efi')
    await machine.disk.syncDirectory('/esp/EFI/Linux')
    const running = { ...machine.target, version: 2, running: [4, 5], committed: 2 }
    machine.disk.stopAfter(step)
    await applyUpdate(inPieces(third.bundle), running, nobody).catch(() => undefined)
    machine.disk.powerCut(random)
    const started = (await machine.bootable([second, third])).filter(version => version !== 1)
    t.true(started.includes(2), `step ${step}: ${started.join(' ')}`)
  }
})
