// People of a test site, and what becomes of their keys: the same in every test of escrow.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type Ended, holdfast } from '../agent/cli/holdfast.ts'
import type { TestSite } from './site.ts'

export type Escrow = { readonly kid: string; readonly epoch: number; readonly safe_ms: number | null }
export type Status = { readonly archive: string; readonly device: string; readonly escrow: Escrow | null; readonly authorized: boolean | null }
export type ApplianceStatus = {
  readonly keystore: {
    readonly nodes: readonly { readonly state: string }[]
    readonly waiting: number
    readonly lost: number
    readonly slots_free: Readonly<Record<string, number>>
    readonly failure: string | null
  }
}

/** Asks again until it is so; a test that waits in vain ends with its own time. */
export async function until<Answer>(ask: () => Promise<Answer>, isSo: (answer: Answer) => boolean): Promise<Answer> {
  for (;;) {
    const answer = await ask()
    if (isSo(answer)) return answer
    await pause(100)
  }
}

export type People = ReturnType<typeof peopleOf>

/** @param folder  where their devices' homes go */
export function peopleOf(site: TestSite, folder: string) {
  const password = join(site.folder, 'password')
  const status = (home: string): Promise<Status> => site.agentJson<Status>(home, 'status')
  const applianceStatus = async (): Promise<ApplianceStatus> => JSON.parse(await site.appliance('status', '--json')) as ApplianceStatus
  const link = async (user: string): Promise<string> => (await site.appliance('link', user)).split('\n').find(line => line.startsWith('holdfast://')) ?? ''
  /** Pairs a device, however that ends. */
  const pair = async (user: string, name: string, ...more: string[]): Promise<Ended & { home: string }> => {
    const home = join(folder, name)
    return { home, ...(await holdfast(['pair', await link(user), '--json', '--home', home, '--password-file', password, ...more])) }
  }
  return {
    password,
    status,
    applianceStatus,
    link,
    pair,
    add: (user: string): Promise<string> => site.appliance('user', 'add', user, '--password-file', password),
    /** Pairs a device; `key` is how it came to its key. */
    async paired(user: string, name: string, ...more: string[]): Promise<{ home: string; key: string }> {
      const ended = await pair(user, name, ...more)
      if (ended.code !== 0) throw new Error(ended.err)
      return { home: ended.home, key: (JSON.parse(ended.out) as { key: string }).key }
    },
    /** Until the user's newest key is in the keystore. */
    untilSafe: (home: string): Promise<Status> =>
      until(
        () => status(home),
        ({ escrow }) => typeof escrow?.safe_ms === 'number',
      ),
    /** Until so many slots are free, all tenants taken together. */
    slotsReady: (count = 3): Promise<ApplianceStatus> =>
      until(applianceStatus, ({ keystore: { slots_free } }) => Object.values(slots_free).reduce((sum, free) => sum + free, 0) >= count),
    /** The keys themselves, from the recovery file: without the notes around them. */
    async keyLines(home: string): Promise<string[]> {
      const file = join(folder, `${home.replace(/\W/g, '')}-${Date.now()}.key`)
      await site.agentJson(home, 'key', 'export', '--to', file)
      return readFileSync(file, 'utf8')
        .split('\n')
        .filter(line => line.startsWith('key '))
    },
  }
}
