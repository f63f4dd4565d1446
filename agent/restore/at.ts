// What `--at` may say: `latest`, the beginning of a snapshot's id, or a time (the newest snapshot up to then).
import { fault } from './errors.ts'
import type { SnapshotRow } from './record-source.ts'

const ID_PREFIX = /^[0-9a-f]{6,64}$/
const TIME = /^(?:(\d{4})-(\d{2})-(\d{2}))?(?:(?:^|[T ])(\d{1,2}):(\d{2})(?::(\d{2}))?)?\s*(Z|[+-]\d{2}:?\d{2})?$/

/**
 * The snapshot that `--at` means.
 *
 * @param rows    in order of their sequence
 * @param now_ms  today, for a time without a date
 * @throws ARCHIVE_EMPTY, SNAPSHOT_UNKNOWN, SNAPSHOT_AMBIGUOUS, AT_INVALID
 */
export function chooseSnapshot(rows: readonly SnapshotRow[], at: string, now_ms: number): SnapshotRow {
  const newest = rows.at(-1)
  if (!newest) throw fault('ARCHIVE_EMPTY')
  const text = at.trim()
  if (text === 'latest') return newest
  if (ID_PREFIX.test(text.toLowerCase())) {
    const found = rows.filter(row => row.snapshot.startsWith(text.toLowerCase()))
    if (found.length > 1) throw fault('SNAPSHOT_AMBIGUOUS', { found: `${found.length} snapshots that begin with ${text}` })
    if (found[0]) return found[0]
    throw fault('SNAPSHOT_UNKNOWN', { expected: `a snapshot that begins with ${text}`, found: `${rows.length} others` })
  }
  const until_ms = parseTime_ms(text, now_ms)
  if (until_ms === undefined) throw fault('AT_INVALID', { found: JSON.stringify(text) })
  const row = rows.findLast(({ received_ms }) => received_ms <= until_ms)
  if (!row) {
    const oldest = rows[0] ?? newest
    throw fault('SNAPSHOT_UNKNOWN', { expected: `one made up to ${localTime(until_ms)}`, found: `none older than ${localTime(oldest.received_ms)}` })
  }
  return row
}

/** The last millisecond that a text such as `2026-03-31`, `2026-03-31 17:05`, `17:05` or an ISO time means; local unless it says otherwise. */
function parseTime_ms(text: string, now_ms: number): number | undefined {
  const parts = TIME.exec(text)
  if (!parts || text === '' || (parts[1] === undefined && parts[4] === undefined)) return undefined
  const now = new Date(now_ms)
  const number = (index: number, otherwise: number): number => (parts[index] === undefined ? otherwise : Number(parts[index]))
  const [year, month, day] = [number(1, now.getFullYear()), number(2, now.getMonth() + 1), number(3, now.getDate())]
  const [hour, minute, second] = [number(4, 23), number(5, 59), number(6, 59)]
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59) return undefined
  const zone = parts[7]
  if (zone === undefined) return new Date(year, month - 1, day, hour, minute, second, 999).getTime()
  const digits = zone.replace(':', '')
  const offset_minutes = zone === 'Z' ? 0 : (digits[0] === '-' ? -1 : 1) * (Number(digits.slice(1, 3)) * 60 + Number(digits.slice(3, 5)))
  return Date.UTC(year, month - 1, day, hour, minute, second, 999) - offset_minutes * 60_000
}

/** A time for people, in their own time zone: `2026-03-31 17:05:09`. */
export function localTime(time_ms: number): string {
  const time = new Date(time_ms)
  const two = (n: number): string => String(n).padStart(2, '0')
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`
}
