// What units of this room run: `node service.ts mount|look|settle|scrub`.
//   mount   the data disks onto their place, before the storage node starts; goes on with a factory reset
//   look    at everything, once a minute
//   settle  the data disks, after an interruption or when one is back
//   scrub   the data disks, once a month
import { espOf } from '#image-update/this-machine.ts'
import { Fault } from '#protocol/fault.ts'
import { goOn, look } from './health.ts'
import { keepSealedKey } from './keep-sealed-key.ts'
import { mountData } from './mount-data.ts'
import { APPLIANCE as place } from './place.ts'
import { destroyEverything, isResetConfirmed, restartAtOnce } from './reset.ts'
import { scrubData } from './scrub.ts'
import { settle } from './settle.ts'

/** Disks may take so long to spin up. */
const DISKS_APPEAR_MS = 30_000

const JOBS: Readonly<Record<string, () => Promise<unknown>>> = {
  mount: async () => {
    if (isResetConfirmed(place)) {
      await destroyEverything(place)
      await restartAtOnce()
      return
    }
    await mountData(place, DISKS_APPEAR_MS)
  },
  look: async () => {
    await look(place, Date.now())
    await goOn(place)
    // Last: an ESP that is damaged must not keep disks from coming back.
    await keepSealedKey(place, espOf)
  },
  settle: () => settle(place, progress => process.stdout.write(`${JSON.stringify(progress)}\n`)),
  scrub: () => scrubData(place),
}

process.umask(0o022)
try {
  const job = JOBS[process.argv[2] ?? '']
  if (!job) throw new Error(`one of ${Object.keys(JOBS).join(', ')}`)
  await job()
} catch (error) {
  process.stderr.write(`${error instanceof Fault ? error.message : error instanceof Error ? error.stack : String(error)}\n`)
  process.exitCode = 1
}
