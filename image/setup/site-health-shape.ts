// What site-health.ts leaves for the status screen.
import { type Static, Type } from '#protocol/typebox.js'

export const SiteHealth = Type.Object({
  time_ms: Type.Number(),
  users: Type.Integer(),
  devices: Type.Integer(),
  disk_bytes: Type.Number(),
  disk_free_bytes: Type.Number(),
  keystore: Type.String(),
  attention: Type.Array(Type.String()),
})
export type SiteHealth = Static<typeof SiteHealth>
