import test from 'ava'
import { createProgress, formatBytes, formatSeconds, progressLine } from '#cli/progress.ts'

function terminal(isTTY: boolean, columns = 80): { isTTY: boolean; columns: number; text: string; write(text: string): void } {
  return {
    isTTY,
    columns,
    text: '',
    write(text) {
      this.text += text
    },
  }
}

test('nothing is written where there is no terminal', t => {
  const out = terminal(false)
  const progress = createProgress(out)
  progress.update({ done_bytes: 1 })
  progress.clear()
  t.is(out.text, '')
})

test('the line shows share, rate and the time that is left', t => {
  const out = terminal(true, 120)
  let now_ms = 0
  const progress = createProgress(out, () => now_ms)
  for (let step = 0; step <= 20; step++) {
    now_ms = step * 500
    progress.update({ done_bytes: step * 5 * 1024 * 1024, total_bytes: 400 * 1024 * 1024, note: '7 files', label: 'home/ann' })
  }
  const last = out.text.split('\r\x1b[K').at(-1) ?? ''
  t.is(last, '25 %  100 MiB of 400 MiB  7 files  10.0 MiB/s  30 s left  home/ann')
})

test('the line is drawn ten times a second at most, and cleared once', t => {
  const out = terminal(true)
  let now_ms = 0
  const progress = createProgress(out, () => now_ms)
  for (; now_ms < 1000; now_ms += 10) progress.update({ done_bytes: now_ms })
  t.is(out.text.split('\r\x1b[K').length - 1, 10)
  progress.clear()
  progress.clear()
  t.is(out.text.split('\r\x1b[K').length - 1, 11)
})

test('no line is wider than the terminal, and no name can move the cursor', t => {
  for (const columns of [10, 40, 60, 200]) {
    const line = progressLine(
      { done_bytes: 123_456_789, total_bytes: 987_654_321, note: '12 files', label: `a/${'long/'.repeat(50)}\x1b[2Jname` },
      5e6,
      columns,
    )
    t.true(line.length < columns, line)
    t.notRegex(line, /\x1b/)
  }
})

for (const [bytes, text] of [
  [0, '0 B'],
  [999, '999 B'],
  [1000, '0.98 KiB'],
  [1536, '1.50 KiB'],
  [10 * 1024, '10.0 KiB'],
  [1024 ** 3, '1.00 GiB'],
  [700 * 1024 ** 2, '700 MiB'],
] as const) {
  test(`${bytes} bytes are shown as ${text}`, t => t.is(formatBytes(bytes), text))
}
for (const [seconds, text] of [
  [0, '0 s'],
  [59.4, '59 s'],
  [61, '1 min 1 s'],
  [7322, '2 h 2 min'],
] as const) {
  test(`${seconds} seconds are shown as ${text}`, t => t.is(formatSeconds(seconds), text))
}
