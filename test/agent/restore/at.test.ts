import test from 'ava'
import { chooseSnapshot, localTime } from '#restore/at.ts'

const at = (text: string): number => new Date(text).getTime()
const rows = [
  { snapshot: `aaaaaa11${'0'.repeat(56)}`, sequence: 1, received_ms: at('2026-03-30T10:00:00') },
  { snapshot: `aaaaaa22${'0'.repeat(56)}`, sequence: 2, received_ms: at('2026-03-31T10:00:30') },
  { snapshot: `bbbbbb33${'0'.repeat(56)}`, sequence: 3, received_ms: at('2026-04-01T10:00:00') },
]
const now_ms = at('2026-04-02T12:00:00')

for (const [text, sequence] of [
  ['latest', 3],
  ['bbbbbb', 3],
  ['AAAAAA22', 2],
  ['2026-03-31', 2],
  ['2026-03-31 10:00', 2],
  ['2026-03-31T10:00:29', 1],
  ['2026-03-31 10:00:30', 2],
  ['9:00', 3],
  [new Date(rows[0]?.received_ms ?? 0).toISOString().slice(0, 19) + 'Z', 1],
] as const) {
  test(`--at ${text.endsWith('Z') ? 'a time in UTC' : text} is snapshot ${sequence}`, t => {
    t.is(chooseSnapshot(rows, text, now_ms).sequence, sequence)
  })
}

for (const [text, code] of [
  ['aaaaaa', 'SNAPSHOT_AMBIGUOUS'],
  ['cccccc', 'SNAPSHOT_UNKNOWN'],
  ['2020-01-01', 'SNAPSHOT_UNKNOWN'],
  ['yesterday', 'AT_INVALID'],
  ['', 'AT_INVALID'],
  ['2026-13-01', 'AT_INVALID'],
  ['25:00', 'AT_INVALID'],
  ['Z', 'AT_INVALID'],
] as const) {
  test(`--at "${text}" is refused as ${code}`, t => {
    t.throws(() => chooseSnapshot(rows, text, now_ms), { code })
  })
}

test('an archive without snapshots says so', t => {
  t.throws(() => chooseSnapshot([], 'latest', now_ms), { code: 'ARCHIVE_EMPTY' })
})

test('a local time can be given back to --at', t => {
  for (const row of rows) t.is(chooseSnapshot(rows, localTime(row.received_ms), now_ms).sequence, row.sequence)
})
