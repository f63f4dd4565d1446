// The progress line on a terminal: what is done, how fast, and how long it will take. Invariants:
//   nothing is written unless the stream is a terminal; at most ten lines a second are drawn;
//   the line is cleared before anything else is said, and at the end.

const DRAW_MS = 100
/** The rate is that of about so long, so that it follows changes without jumping. */
const RATE_MS = 5_000

export type Step = {
  readonly done_bytes: number
  /** Unless it is known, no time left is shown. */
  readonly total_bytes?: number | undefined
  /** What is counted besides, for example '1,204 files'. */
  readonly note?: string
  /** What is being worked on; cut to the width of the terminal. */
  readonly label?: string
}

export type Terminal = { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown }

export type Progress = {
  update(step: Step): void
  /** Clears the line, so that something else can be written. */
  clear(): void
}

/** A progress line; `now_ms` is a clock that never goes back. */
export function createProgress(terminal: Terminal, now_ms: () => number = () => performance.now()): Progress {
  if (!terminal.isTTY) return { update: () => {}, clear: () => {} }
  let drawn_ms = Number.NEGATIVE_INFINITY
  let isDrawn = false
  let previous: { at_ms: number; bytes: number } | undefined
  let rate: number | undefined

  function update(step: Step): void {
    const at_ms = now_ms()
    if (at_ms - drawn_ms < DRAW_MS) return
    drawn_ms = at_ms
    if (previous && at_ms > previous.at_ms) {
      const latest = ((step.done_bytes - previous.bytes) / (at_ms - previous.at_ms)) * 1000
      const weight = rate === undefined ? 1 : 1 - Math.exp((previous.at_ms - at_ms) / RATE_MS)
      rate = Math.max(0, (rate ?? 0) * (1 - weight) + latest * weight)
    }
    previous = { at_ms, bytes: step.done_bytes }
    terminal.write(`\r\x1b[K${progressLine(step, rate, terminal.columns ?? 80)}`)
    isDrawn = true
  }
  function clear(): void {
    if (isDrawn) terminal.write('\r\x1b[K')
    isDrawn = false
    drawn_ms = Number.NEGATIVE_INFINITY
  }
  return { update, clear }
}

/** The line for one step, no longer than the terminal is wide. */
export function progressLine(step: Step, bytesPerSecond: number | undefined, columns: number): string {
  const parts: string[] = []
  const { done_bytes, total_bytes } = step
  if (total_bytes !== undefined && total_bytes > 0) {
    parts.push(`${Math.min(100, Math.floor((done_bytes / total_bytes) * 100))} %`, `${formatBytes(done_bytes)} of ${formatBytes(total_bytes)}`)
  } else parts.push(formatBytes(done_bytes))
  if (step.note) parts.push(step.note)
  if (bytesPerSecond !== undefined) {
    parts.push(`${formatBytes(bytesPerSecond)}/s`)
    if (total_bytes !== undefined && bytesPerSecond > 0 && total_bytes > done_bytes)
      parts.push(`${formatSeconds((total_bytes - done_bytes) / bytesPerSecond)} left`)
  }
  const line = parts.join('  ')
  const room = columns - 1 - line.length - 2
  return step.label && room > 8 ? `${line}  ${shorten(step.label, room)}` : line.slice(0, columns - 1)
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** A number of bytes for people: three digits and a unit. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ${UNITS[unit] ?? ''}`
}

/** A time span for people. */
export function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}

/** Names may hold anything: what could move the cursor is shown as '?'. */
function shorten(label: string, columns: number): string {
  const shown = label.replace(/[^\x20-\x7e\u00a0-\uffff]/g, '?')
  return shown.length <= columns ? shown : `…${shown.slice(1 - columns)}`
}
