// The authority's acts, and what the keystore's log says of each: a million of them in 100 MB, because what an act was is
// looked up in its log when it must be told. A hash table (open addressing) of rows of ROW bytes, keyed by jti:
//   0 jti (16) · 16 slot (16) · 32 two request ids of the keystore, as the authority knows them (32) · 64 offset of its line (6) ·
//   70 flags · 72 attempts that signed in (bits, 8) · 80 attempts that opened (bits, 8)
// A jti is random, made by the authority, so its own bytes are its hash.
const ROW = 88
const AT = { slot: 16, requests: 32, offset: 64, flags: 70, signIns: 72, openings: 80 } as const
const ID_BYTES = 16
const CAPACITY_MIN = 1024
/** Attempts that have a bit of their own. */
export const ATTEMPTS_MAX = 64

const REQUESTS = 2
const FLAG = { used: 1, begun: 2, opened: 4, failed: 8, matched: 16 } as const

export type ActRow = {
  readonly slot: string
  /** Where its line begins in the authority's log. */
  readonly offset: number
  /** What the authority recorded of it last: asked for, begun, or its outcome. */
  state(): 'asked' | 'begun' | 'opened' | 'failed'
  setBegun(): void
  /** @param request_ids  of the keystore, the last two of which can be what opened */
  setOpened(request_ids: readonly string[]): void
  setFailed(): void
  /** Whether the authority names this request for what it opened. */
  isNamed(request_id: string): boolean
  isMatched(): boolean
  setMatched(): void
  /** Notes it. @returns whether this attempt had done so before */
  signIn(attempt: number): boolean
  open(attempt: number): boolean
  hasOpened(): boolean
}

export type Acts = {
  /** @returns undefined if the jti is there already */
  add(jti: string, slot: string, offset: number): ActRow | undefined
  find(jti: string): ActRow | undefined
  readonly count: () => number
  /** In no order. */
  all(): Generator<ActRow>
}

/** An empty table. */
export function createActs(): Acts {
  let table = Buffer.alloc(CAPACITY_MIN * ROW)
  let count = 0
  const capacity = (): number => table.length / ROW
  const isUsed = (at: number): boolean => ((table[at + AT.flags] ?? 0) & FLAG.used) !== 0
  /** Where the jti is, or would be. */
  const place = (id: Buffer): number => {
    for (let row = id.readUInt32LE(0) % capacity(); ; row = (row + 1) % capacity()) {
      const at = row * ROW
      if (!isUsed(at) || table.compare(id, 0, ID_BYTES, at, at + ID_BYTES) === 0) return at
    }
  }
  const grow = (): void => {
    const old = table
    table = Buffer.alloc(old.length * 2)
    for (let at = 0; at < old.length; at += ROW)
      if (((old[at + AT.flags] ?? 0) & FLAG.used) !== 0) old.copy(table, place(old.subarray(at, at + ID_BYTES)), at, at + ROW)
  }
  const rowAt = (at: number): ActRow => {
    const has = (flag: number): boolean => ((table[at + AT.flags] ?? 0) & flag) !== 0
    const set = (flag: number): void => void (table[at + AT.flags] = (table[at + AT.flags] ?? 0) | flag)
    const note = (column: number, attempt: number): boolean => {
      const [bits, bit] = [table.readBigUInt64LE(at + column), 1n << BigInt(attempt % ATTEMPTS_MAX)]
      table.writeBigUInt64LE(bits | bit, at + column)
      return (bits & bit) !== 0n
    }
    return {
      slot: `s-${table.toString('hex', at + AT.slot, at + AT.slot + ID_BYTES)}`,
      offset: table.readUIntLE(at + AT.offset, 6),
      state: () => (has(FLAG.opened) ? 'opened' : has(FLAG.failed) ? 'failed' : has(FLAG.begun) ? 'begun' : 'asked'),
      setBegun: () => set(FLAG.begun),
      setOpened(request_ids) {
        set(FLAG.opened)
        for (const [index, id] of request_ids.slice(-REQUESTS).entries()) idOf(id)?.copy(table, at + AT.requests + index * ID_BYTES)
      },
      setFailed: () => set(FLAG.failed),
      isNamed(request_id) {
        const id = idOf(request_id)
        const named = Array.from({ length: REQUESTS }, (_, index) => at + AT.requests + index * ID_BYTES)
        return id !== undefined && named.some(from => table.compare(id, 0, ID_BYTES, from, from + ID_BYTES) === 0)
      },
      isMatched: () => has(FLAG.matched),
      setMatched: () => set(FLAG.matched),
      signIn: attempt => note(AT.signIns, attempt),
      open: attempt => note(AT.openings, attempt),
      hasOpened: () => table.readBigUInt64LE(at + AT.openings) !== 0n,
    }
  }
  return {
    add(jti, slot, offset) {
      if (count * 2 >= capacity()) grow()
      const id = Buffer.from(jti, 'hex')
      const at = place(id)
      if (isUsed(at)) return undefined
      id.copy(table, at)
      Buffer.from(slot.slice(2), 'hex').copy(table, at + AT.slot)
      table.writeUIntLE(offset, at + AT.offset, 6)
      table[at + AT.flags] = FLAG.used
      count++
      return rowAt(at)
    },
    find(jti) {
      const at = place(Buffer.from(jti, 'hex'))
      return isUsed(at) ? rowAt(at) : undefined
    },
    count: () => count,
    *all() {
      for (let at = 0; at < table.length; at += ROW) if (isUsed(at)) yield rowAt(at)
    },
  }
}

/** A request id (UUID) as bytes. */
function idOf(request_id: string): Buffer | undefined {
  const bytes = Buffer.from(request_id.replaceAll('-', ''), 'hex')
  return bytes.length === ID_BYTES ? bytes : undefined
}
