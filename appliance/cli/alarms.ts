// holdfast-appliance alarm: what stands until somebody says that they have seen it.
import type { Command } from 'commander'
import { ADMIN_PATHS } from '#authority/admin-api.ts'
import { ALARMS, type AlarmKind } from '#authority/alarms.ts'
import type { Frame } from '#cli/frame.ts'
import { askAdmin } from './admin-client.ts'

export type ShownAlarm = { readonly kind: AlarmKind; readonly tenant: string; readonly found: string; readonly raised_ms: number }

/** For people, one line. */
export const alarmLine = ({ kind, tenant, found, raised_ms }: ShownAlarm): string =>
  `alarm: ${kind} in tenant ${tenant} since ${new Date(raised_ms).toLocaleString()}: ${ALARMS[kind]} (${found})`

export function registerAlarm(program: Command, frame: Frame): void {
  const alarm = program.command('alarm').description('what needs somebody at once; `status` shows it until it is acknowledged')
  alarm
    .command('acknowledge')
    .description('say that the alarms that `status` shows were seen; the record keeps them, and one that comes again is raised again')
    .action(async () => {
      const { alarms } = await askAdmin(frame, 'POST', ADMIN_PATHS.acknowledge)
      const seen = alarms as ShownAlarm[]
      frame.result({ alarms: seen }, seen.length === 0 ? ['There is no alarm.'] : seen.map(one => `acknowledged: ${alarmLine(one)}`))
    })
}
