// holdfast-appliance device, status, audit and reindex.
import type { Command } from 'commander'
import { ADMIN_PATHS } from '#authority/admin-api.ts'
import type { Frame } from '#cli/frame.ts'
import { formatBytes, formatSeconds } from '#cli/progress.ts'
import { table } from '#cli/table.ts'
import { EXIT } from '#protocol/fault.ts'
import { reindexHome } from '#storage/reindex.ts'
import { askAdmin } from './admin-client.ts'
import { alarmLine, type ShownAlarm } from './alarms.ts'

type Row = Readonly<Record<string, unknown>>
const text = (value: unknown): string => (typeof value === 'string' || typeof value === 'number' ? `${value}` : '')
const number = (value: unknown): number => (typeof value === 'number' ? value : 0)
const time = (value: unknown): string => (typeof value === 'number' ? new Date(value).toLocaleString() : 'never')

const deviceTable = (rows: readonly Row[]): string[] =>
  table(
    ['device', 'user', 'host', 'paired', 'last backup', ''],
    rows.map(row => [
      text(row['device']).slice(0, 12),
      text(row['user']),
      text(row['hostname']),
      time(row['paired_ms']),
      time(row['head_ms']),
      row['is_authorized'] === true ? '' : 'deauthorized',
    ]),
  )

export function registerDevice(program: Command, frame: Frame): void {
  const device = program.command('device').description('paired devices')
  device
    .command('list')
    .description('list devices')
    .action(async () => {
      const { devices } = await askAdmin(frame, 'GET', ADMIN_PATHS.devices)
      frame.result({ devices }, deviceTable(devices as Row[]))
    })
  device
    .command('deauthorize')
    .description('put a device out, at once; its backups stay')
    .argument('<device>', 'the beginning of its id')
    .action(async (id: string) => {
      const answer = await askAdmin(frame, 'POST', ADMIN_PATHS.deauthorize, { device: id })
      const isConfirmed = answer['confirmed_by_storage'] === true
      frame.result(answer, [
        `Device ${text(answer['device']).slice(0, 12)} is deauthorized.`,
        isConfirmed
          ? 'The storage node refuses it too.'
          : 'The storage node does not answer; it will be told as soon as it does. Tickets that are out end in five minutes at most.',
      ])
    })
}

export function registerStatus(program: Command, frame: Frame): void {
  program
    .command('status')
    .description('how the appliance is, and what needs attention')
    .action(async () => {
      const status = await askAdmin(frame, 'GET', ADMIN_PATHS.status)
      const attention = (status['attention'] as string[] | undefined) ?? []
      frame.result(status, [
        `Holdfast ${text(status['version'])}, ${status['running'] === true ? 'running' : 'NOT running'}; this machine has been up for ${formatSeconds(number(status['uptime_s']))}`,
        `disk ${formatBytes(number(status['disk_free_bytes']))} of ${formatBytes(number(status['disk_bytes']))} free, memory ${formatBytes(number(status['memory_free_bytes']))} of ${formatBytes(number(status['memory_bytes']))} free, processors ${text(status['load_percent'])} % busy`,
        ...keystoreLines(status['keystore'] as KeystoreRow | null | undefined),
        ...attention.map(line => `ATTENTION: ${line}`),
        '',
        ...deviceTable((status['devices'] as Row[] | undefined) ?? []),
      ])
    })
}

type KeystoreRow = {
  readonly nodes: readonly { readonly address: string; readonly state: string }[]
  readonly waiting: number
  readonly lost: number
  readonly waiting_since_ms: number | null
  readonly slots_free: Readonly<Record<string, number>>
  readonly failure: string | null
  readonly alarms: readonly ShownAlarm[]
}

function keystoreLines(keystore: KeystoreRow | null | undefined): string[] {
  if (!keystore) return ['no keystore: each user key is on its own device only']
  const slots = Object.entries(keystore.slots_free).map(([tenant, free]) => `${free} slots ready for new users of ${tenant}`)
  return [
    ...keystore.alarms.map(alarmLine),
    `keystore ${keystore.nodes.map(({ address, state }) => `${address} ${state}`).join(', ')}; ${slots.join(', ') || 'no slots ready'}`,
    ...(keystore.waiting === 0
      ? []
      : [
          `ATTENTION: the keys of ${keystore.waiting} users are not yet safe in the keystore, the first since ${new Date(keystore.waiting_since_ms ?? 0).toLocaleString()}`,
        ]),
    ...(keystore.lost === 0 ? [] : [`ATTENTION: the keystore has lost the keys of ${keystore.lost} users; each makes a new one with the next backup`]),
    ...(keystore.failure === null ? [] : [`ATTENTION: at the keystore: ${keystore.failure}`]),
  ]
}

export function registerAudit(program: Command, frame: Frame): void {
  program
    .command('audit')
    .description('the record of who did what')
    .command('verify')
    .description('check the whole chain of the audit log')
    .action(async () => {
      const answer = await askAdmin(frame, 'GET', ADMIN_PATHS.audit)
      frame.result(answer, [`${text(answer['lines'])} records, each following from the one before. The last has the hash ${text(answer['last'])}`])
    })
}

export function registerReindex(program: Command, frame: Frame): void {
  program
    .command('reindex')
    .description('make the index again from the segments alone; the appliance must not run')
    .argument('[archive]', 'only this archive')
    .action(async (archive?: string) => {
      const archives = await reindexHome(frame.home(), archive)
      const damaged = archives.filter(one => one.damage.length > 0)
      frame.result({ archives }, [
        ...archives.map(one => `${one.archive}: ${one.records} records, ${one.damage.length === 0 ? 'all well' : `${one.damage.length} places damaged`}`),
        ...damaged.flatMap(one =>
          one.damage.map(place => `damaged: archive ${one.archive}, segment ${place.segment}, byte ${place.offset}, ${place.length} bytes: ${place.reason}`),
        ),
      ])
      if (damaged.length > 0) frame.exit(EXIT.damaged)
    })
}
