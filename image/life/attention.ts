// What needs somebody's attention, as a file that the status screen shows and the authority's status tells: made anew once
// a minute, so what is over goes away by itself.
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { writeWhole } from './durable.ts'
import type { Place } from './place.ts'

const ITEMS_MAX = 64
export const Attention = Type.Object({
  items: Type.Array(
    Type.Object({
      code: Type.String({ pattern: '^[a-z0-9-]{1,40}$' }),
      text: Type.String({ maxLength: 500 }),
      /** Since when it is so: milliseconds since 1970. */
      since_ms: Type.Integer({ minimum: 0 }),
    }),
    { maxItems: ITEMS_MAX },
  ),
})
export type Attention = Static<typeof Attention>
export type Concern = { readonly code: string; readonly text: string }

const READABLE_BY_ALL = 0o644

/** A file of this shape; one that is not there, or is something else, has no items. */
export async function readAttention(path: string): Promise<Attention> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    return Check(Attention, value) ? value : { items: [] }
  } catch {
    return { items: [] }
  }
}

/** Writes what is of concern now, and what other services of this machine left in attention.d/. */
export async function writeAttention(place: Place, concerns: readonly Concern[], now_ms: number): Promise<Attention> {
  const path = join(place.run, 'attention.json')
  const before = (await readAttention(path)).items
  const sinceOf = ({ code }: Concern): number => before.find(item => item.code === code)?.since_ms ?? now_ms
  const folder = join(place.run, 'attention.d')
  const names = await readdir(folder).catch(() => [] as string[])
  const others = await Promise.all(
    names
      .filter(name => name.endsWith('.json'))
      .sort()
      .map(name => readAttention(join(folder, name))),
  )
  const items = [...concerns.map(concern => ({ ...concern, since_ms: sinceOf(concern) })), ...others.flatMap(other => other.items)].slice(0, ITEMS_MAX)
  await writeWhole(path, JSON.stringify({ items }), READABLE_BY_ALL)
  return { items }
}

/** What only who stands at the machine may see, on its screen; nothing: no longer. */
export async function showOnScreen(place: Place, items: Attention['items']): Promise<void> {
  const path = join(place.run, 'console.json')
  // Made at the start of the machine, for the group of the screen.
  const { uid, gid } = await stat(path).catch(() => ({ uid: 0, gid: 0 }))
  await writeWhole(path, JSON.stringify({ items }), 0o640, { uid, gid })
}
