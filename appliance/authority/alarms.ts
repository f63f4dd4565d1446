// What somebody must have seen: an alarm stays until an administrator acknowledges it, over restarts too. Invariants:
//   an alarm is on record before it is raised;
//   there is one of a kind and tenant at most, so whatever comes as a flood writes one line.
import type { Audit } from './audit.ts'
import type { AlarmRow, State } from './state.ts'

export const ALARMS = {
  'key-fetches': 'more keys were asked for than anybody needs, and no more were given out',
  'key-refusals': 'devices asked again and again for keys that they may not have',
  'keystore-limit': 'the keystore refused a key because too many are asked for: if it is not this appliance, somebody has its signing key',
} as const
export type AlarmKind = keyof typeof ALARMS

export type Alarms = {
  /** Durable when it resolves; one that stands already stays as it is. @throws AUDIT_FAILED */
  raise(kind: AlarmKind, tenant: string, found: string): Promise<void>
  /** Those that nobody has acknowledged, the oldest first. */
  standing(): readonly AlarmRow[]
  /** Ends all of them. @returns those that stood */
  acknowledge(who: string): Promise<readonly AlarmRow[]>
}

export async function openAlarms(state: State, audit: Audit, now: () => number): Promise<Alarms> {
  const standing = new Map<string, AlarmRow>()
  const idOf = ({ kind, tenant }: Pick<AlarmRow, 'kind' | 'tenant'>): string => `${kind} ${tenant}`
  for (const row of await state.all('alarm')) standing.set(idOf(row), row)
  const inOrder = (): AlarmRow[] => [...standing.values()].sort((one, other) => one.raised_ms - other.raised_ms)
  return {
    async raise(kind, tenant, found) {
      const row = { kind, tenant, found, raised_ms: now() }
      const id = idOf(row)
      if (standing.has(id)) return
      // At once, so that those who come meanwhile raise no second one.
      standing.set(id, row)
      try {
        await audit.record({ act: 'alarm.raise', who: 'authority', facts: { alarm: kind, tenant, found } })
        await state.write([{ kind: 'alarm', id, row }])
        process.stderr.write(`authority: alarm: ${kind} in tenant ${tenant}: ${ALARMS[kind]}: ${found}\n`)
      } catch (error) {
        standing.delete(id)
        throw error
      }
    },
    standing: inOrder,
    async acknowledge(who) {
      const seen = inOrder()
      for (const { kind, tenant } of seen) await audit.record({ act: 'alarm.acknowledge', who, facts: { alarm: kind, tenant } })
      await state.write(seen.map(row => ({ kind: 'alarm', id: idOf(row), row: undefined })))
      for (const row of seen) standing.delete(idOf(row))
      return seen
    },
  }
}
