// Where this room finds and leaves things. The appliance's own place is the default; tests have others.
import { join } from 'node:path'
import { run } from './programs.ts'

export type Place = {
  /** The site's home. */
  readonly home: string
  /** Of this room only, on the encrypted state: the key and the list of the data disks. */
  readonly own: string
  /** Where the archives lie: a folder of the state, or the data disks mounted over it. */
  readonly archives: string
  /** Gone after a restart. */
  readonly run: string
  /** Our code, as it is laid out in a checkout. */
  readonly program: string
  /** The mapped device of the encrypted state. */
  readonly stateMapping: string
  /** Nobody writes archives between these two. */
  readonly stopStorage: () => Promise<void>
  readonly startStorage: () => Promise<void>
}

export function placeAt(home: string, run_: string, program: string, storage: Pick<Place, 'stopStorage' | 'startStorage'>): Place {
  return { home, own: join(home, 'life'), archives: join(home, 'storage/archives'), run: run_, program, stateMapping: 'state', ...storage }
}

const STORAGE_UNIT = 'holdfast-storage.service'

export const APPLIANCE: Place = placeAt('/var/lib/holdfast', '/run/holdfast', '/usr/lib/holdfast', {
  stopStorage: async () => void (await run('systemctl', ['stop', STORAGE_UNIT])),
  startStorage: async () => void (await run('systemctl', ['start', STORAGE_UNIT])),
})
