// The facts as a picture of 80 by 24 for a console, and as lines for a serial line, where each is written once when it
// changes. What others said is shown as printable ASCII, so that nothing in it can command the terminal.
import type { Fact, Facts } from './facts.ts'

export const COLUMNS = 80
export const ROWS = 24
const INNER = COLUMNS - 4
const LABEL = 13
/** The title's, and the lines around. */
const FRAME_ROWS = 4

const plain = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?')

/** One line a fact. */
export const linesOf = ({ title, facts }: Facts): string[] => [title, ...facts.map(fact => plain(`${fact.label}: ${fact.text}`))]

/**
 * The whole screen, without its last column so that no terminal wraps, as text with the few control sequences that it
 * takes to write it over what was there.
 */
export function pictureOf({ title, time, facts }: Facts): string {
  const rows = facts.flatMap((fact, at) => rowsOf(fact, facts[at - 1]?.label === fact.label))
  const room = ROWS - FRAME_ROWS
  const shown = rows.length > room ? [...rows.slice(0, room - 1), row('', `... and ${rows.length - room + 1} more`)] : rows
  const head = `${plain(title)}${' '.repeat(Math.max(1, INNER - title.length - time.length - 1))}${plain(time)}`.slice(0, INNER - 1).padEnd(INNER - 1)
  const rule = '─'.repeat(INNER + 1)
  const lines = [
    `┌${rule}┐`,
    `│ ${BOLD}${head}${PLAIN} │`,
    `├${rule}┤`,
    ...shown,
    ...Array.from({ length: room - shown.length }, () => row('', '')),
    `└${rule}┘`,
  ]
  return `${HOME}${lines.map(line => `${line}${TO_END_OF_LINE}`).join('\r\n')}${TO_END_OF_SCREEN}`
}

/** Written once before the first picture: no cursor, and no screen saver. */
export const CONSOLE_START = '\x1b[?25l\x1b[9;0]\x1b[2J'
/** Instead of the picture, for questions and answers: an empty screen, and a cursor. */
export const DIALOGUE_START = '\x1b[2J\x1b[H\x1b[?25h'
const HOME = '\x1b[H'
const TO_END_OF_LINE = '\x1b[K'
const TO_END_OF_SCREEN = '\x1b[J'
const BOLD = '\x1b[1m'
const WARNING = '\x1b[1;33m'
const PLAIN = '\x1b[0m'

function rowsOf(fact: Fact, isSameLabel: boolean): string[] {
  const style = fact.label === 'Attention' ? WARNING : fact.isLoud ? BOLD : ''
  return wrapped(plain(fact.text), INNER - 1 - LABEL).map((text, at) => row(at === 0 && !isSameLabel ? fact.label : '', text, style))
}

function row(label: string, text: string, style = ''): string {
  const padded = text.padEnd(INNER - 1 - LABEL)
  return `│ ${label.padEnd(LABEL)}${style === '' ? padded : `${style}${padded}${PLAIN}`} │`
}

/** At spaces or colons where there are any. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  for (let rest = text; rest !== ''; ) {
    if (rest.length <= width) return [...lines, rest]
    const cut = Math.max(rest.lastIndexOf(' ', width), rest.slice(0, width).lastIndexOf(':') + 1)
    const at = cut > width / 3 ? cut : width
    lines.push(rest.slice(0, at).trimEnd())
    rest = rest.slice(at).trimStart()
  }
  return lines
}
