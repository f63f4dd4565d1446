// The status screen: on the console as a picture that is drawn anew when something has changed, on the serial line as
// lines that are appended when they have. It reads no input at all, and runs as a user that can do nothing else.
//   --console FILE, --serial FILE  the terminals; --root DIR  the root of the file system (tests)
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import package_ from '../../package.json' with { type: 'json' }
import { gatherFacts } from './facts.ts'
import { CONSOLE_START, linesOf, pictureOf } from './picture.ts'
import { placesUnder } from './places.ts'
import { terminalAt } from './terminal.ts'

const LOOK_MS = 2_000

const { values } = parseArgs({
  options: { root: { type: 'string', default: '/' }, console: { type: 'string', default: '/dev/tty1' }, serial: { type: 'string', default: '/dev/ttyS0' } },
})
const places = placesUnder(values.root)
const console_ = terminalAt(values.console)
const serial = terminalAt(values.serial)
let picture = ''
let lines: readonly string[] = []
for (;;) {
  const facts = await gatherFacts(places, package_.version)
  const nextPicture = pictureOf(facts)
  if (console_.isFresh()) console_.write(CONSOLE_START + nextPicture)
  else if (nextPicture !== picture) console_.write(nextPicture)
  picture = nextPicture
  const known = new Set(serial.isFresh() ? [] : lines)
  lines = linesOf(facts)
  // The line's own end first: others write to it too, and leave it anywhere.
  const fresh = lines.filter(line => !known.has(line))
  if (fresh.length > 0) serial.write(`\r\n${fresh.join('\r\n')}\r\n`)
  await wait(LOOK_MS)
}
