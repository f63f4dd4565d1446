// What the machine service offers of updates. A bundle that is pushed comes in by its own socket (main.ts), as bytes.
import { Type } from '#protocol/typebox.js'
import { type Act, actOf } from './act.ts'
import { applyUpdate } from './apply-update.ts'
import { hasRelease, readFolder } from './bundle.ts'
import { readCommitted } from './committed.ts'
import { fault } from './errors.ts'
import { machineMedia } from './machine-media.ts'
import { restartSoon } from './restart.ts'
import { updateStatus } from './status.ts'
import { espOf, runningVersion, thisMachine } from './this-machine.ts'
import { usbVolumes, withVolume } from './usb-stick.ts'

const Nothing = Type.Object({}, { additionalProperties: false })

export const UPDATE_ACTS: Readonly<Record<string, Act>> = {
  /** → UpdateStatus, and `committed`. */
  'update.show': actOf(Nothing, async () => ({
    ...(await updateStatus(machineMedia, espOf(), runningVersion())),
    committed: await readCommitted(),
  })),
  /** Takes the release of the first stick that has one → {version}; then the machine restarts. */
  'update.from-usb': actOf(Nothing, async (_request, say) => {
    for (const volume of await usbVolumes()) {
      const done = await withVolume(volume, async folder =>
        (await hasRelease(folder)) ? applyUpdate(readFolder(folder), await thisMachine(), say) : undefined,
      )
      if (!done) continue
      await restartSoon()
      return done
    }
    throw fault('UPDATE_NONE', { expected: 'a USB stick (FAT or exFAT) with a release on it', found: 'none' })
  }),
}
