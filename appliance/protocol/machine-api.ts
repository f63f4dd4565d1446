// What administrators of the site ask of an appliance that is firmware. Requests are checked where they are carried out.
import { type Static, Type } from './typebox.js'

/** Below ADMINISTRATION. Both answer with lines of JSON, each a MachineLine. */
export const MACHINE_PATHS = {
  /** POST {act, …}. */
  acts: '/machine',
  /** POST a release, as bytes. */
  update: '/machine/update',
} as const

/** Progress comes any number of times; one of the other two is the last line. */
export const MachineLine = Type.Union([
  Type.Object({ progress: Type.Record(Type.String(), Type.Unknown()) }),
  Type.Object({ done: Type.Record(Type.String(), Type.Unknown()) }),
  Type.Object({ fault: Type.Object({ code: Type.String({ maxLength: 64 }) }) }),
])
export type MachineLine = Static<typeof MachineLine>
