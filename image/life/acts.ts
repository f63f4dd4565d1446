// The acts of this room, by name, with their requests. LIFE.md says what each answers.
import { type Act, actOf } from '#image-update/act.ts'
import { ArchiveId } from '#protocol/names.ts'
import { Type } from '#protocol/typebox.js'
import { archivesIn } from './archive-files.ts'
import { bindState } from './bind-state.ts'
import { EXPORT_FOLDER, ExportedArchive, exportArchives } from './export-archives.ts'
import { lastFound } from './health.ts'
import { importArchives } from './import-archives.ts'
import { listDisks } from './list-disks.ts'
import { RecoveryKey } from './luks.ts'
import { APPLIANCE, type Place } from './place.ts'
import { run } from './programs.ts'
import { askReset, confirmReset, destroyEverything, restartAtOnce } from './reset.ts'
import { supportBundle } from './support.ts'
import { withUsbDisk } from './usb-disk.ts'
import { replaceDisk, useDisks } from './use-disks.ts'

const Serial = Type.String({ minLength: 1, maxLength: 200 })
const ConfirmedDisk = Type.Object(
  { serial: Serial, size_bytes: Type.Integer({ minimum: 1 }), content: Type.String({ minLength: 1, maxLength: 4096 }) },
  { additionalProperties: false },
)
/** The fields beside `act`. */
const request = <Fields extends Parameters<typeof Type.Object>[0]>(fields: Fields) => Type.Object(fields, { additionalProperties: false })

const ARCHIVES_MAX = 10_000
export const LIFE_REQUESTS = {
  'machine.show': request({}),
  'machine.restart': request({}),
  'machine.off': request({}),
  'disks.list': request({}),
  'disks.use': request({ disks: Type.Array(ConfirmedDisk, { minItems: 1, maxItems: 2 }), recovery_key: RecoveryKey }),
  'disks.replace': request({ old: Serial, disk: ConfirmedDisk, recovery_key: RecoveryKey }),
  'disks.scrub': request({}),
  'archives.export': request({ disk: Serial, archives: Type.Optional(Type.Array(ExportedArchive, { minItems: 1, maxItems: ARCHIVES_MAX })) }),
  'archives.import': request({ disk: Serial, archives: Type.Array(ArchiveId, { maxItems: ARCHIVES_MAX }) }),
  'support.bundle': request({}),
  'state.bind': request({ recovery_key: RecoveryKey }),
  'reset.ask': request({}),
  'reset.confirm': request({ word: Type.String({ minLength: 1, maxLength: 40 }) }),
} as const

export function lifeActs(place: Place): Readonly<Record<string, Act>> {
  const R = LIFE_REQUESTS
  return {
    'machine.show': actOf(R['machine.show'], async () => ({ attention: (await lastFound(place)).items })),
    'machine.restart': actOf(R['machine.restart'], async () => goingDown('reboot')),
    'machine.off': actOf(R['machine.off'], async () => goingDown('poweroff')),
    'disks.list': actOf(R['disks.list'], () => listDisks(place)),
    'disks.use': actOf(R['disks.use'], async ({ disks, recovery_key }, say) => {
      await useDisks(place, disks, recovery_key, say)
      return listDisks(place)
    }),
    'disks.replace': actOf(R['disks.replace'], async ({ old, disk, recovery_key }, say) => {
      await replaceDisk(place, old, disk, recovery_key, say)
      return listDisks(place)
    }),
    'disks.scrub': actOf(R['disks.scrub'], async () => {
      await run('systemctl', ['start', '--no-block', 'holdfast-scrub.service'])
      return { started: true }
    }),
    'archives.export': actOf(R['archives.export'], async ({ disk, archives }, say) => {
      const wanted = archives ?? (await archivesIn(place.archives)).map(archive => ({ archive, user: '', hostname: '' }))
      return withUsbDisk(place, disk, true, async target => ({ ...(await exportArchives(place, target, wanted, Date.now(), say)), folder: EXPORT_FOLDER }))
    }),
    'archives.import': actOf(R['archives.import'], ({ disk, archives }, say) =>
      withUsbDisk(place, disk, false, ({ folder }) => importArchives(place, folder, archives, say)),
    ),
    'support.bundle': actOf(R['support.bundle'], (_, say) => supportBundle(place, Date.now(), say)),
    'state.bind': actOf(R['state.bind'], async ({ recovery_key }) => {
      await bindState(place, recovery_key)
      return { bound: true }
    }),
    'reset.ask': actOf(R['reset.ask'], () => askReset(place, Date.now())),
    'reset.confirm': actOf(R['reset.confirm'], async ({ word }, say) => {
      await confirmReset(place, word, Date.now())
      say({ step: 'destroy' })
      const not_erased = await destroyEverything(place)
      setTimeout(() => void restartAtOnce(), ANSWER_FIRST_MS)
      return { restarts: true, not_erased }
    }),
  }
}

/** The answer gets out before the machine goes down. */
const ANSWER_FIRST_MS = 1000

async function goingDown(verb: 'reboot' | 'poweroff'): Promise<object> {
  await run('systemctl', ['--no-block', verb])
  return { goes_down: true }
}

export const LIFE_ACTS: Readonly<Record<string, Act>> = lifeActs(APPLIANCE)
