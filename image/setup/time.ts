// The time settings: who is asked for the time, and in which zone it is shown. The clock itself is UTC.
import { isIP } from 'node:net'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'
import { isHostName } from './host-name.ts'

const SERVERS_MAX = 4

export const Time = Type.Object(
  {
    version: Type.Literal(1),
    /** Names or addresses; with none, those that DHCP gives, or else the ones that the system came with. */
    servers: Type.Array(Type.String({ minLength: 1, maxLength: 253 }), { maxItems: SERVERS_MAX }),
    zone: Type.String({ minLength: 1, maxLength: 64 }),
  },
  { additionalProperties: false },
)
export type Time = Static<typeof Time>

export const TIME_DEFAULT: Time = { version: 1, servers: [], zone: 'UTC' }

/** The zones that there are: the runtime brings its own table. */
export const ZONES: readonly string[] = ['UTC', ...Intl.supportedValuesOf('timeZone').filter(zone => zone !== 'UTC')]

/** @throws TIME_INVALID */
export function checkTime(value: unknown): Time {
  if (!Check(Time, value)) throw fault('TIME_INVALID', { expected: 'the shape that SETUP.md gives', found: 'another', facts: { field: 'time' } })
  for (const server of value.servers)
    if (isIP(server) === 0 && !isHostName(server))
      throw fault('TIME_INVALID', { expected: 'names or addresses of time servers', found: server.slice(0, 80), facts: { field: 'time.servers' } })
  if (!ZONES.includes(value.zone))
    throw fault('TIME_INVALID', { expected: 'a zone as Europe/Berlin', found: value.zone.slice(0, 80), facts: { field: 'time.zone' } })
  return value
}

/** For systemd-timesyncd. */
export const timeUnit = ({ servers }: Time): string => `[Time]\n${servers.length === 0 ? '' : `NTP=${servers.join(' ')}\n`}`

/** An environment file of the programs that show times to people. */
export const zoneFile = ({ zone }: Time): string => `TZ=${zone}\n`
