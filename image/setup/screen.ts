// The status screen: on the console as a picture that is drawn anew when something has changed, on the serial line as
// lines that are appended when they have. Whoever types there may set the network, as with a USB stick, and nothing else:
// this runs as a user that can only leave the settings for a service that checks them again.
//   --console FILE, --serial FILE  the terminals; --root DIR  the root of the file system (tests)
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import package_ from '../../package.json' with { type: 'json' }
import { writeShown } from './durable-file.ts'
import { gatherFacts } from './facts.ts'
import { wiredInterfaces } from './machine-settings.ts'
import { createNetworkDialogue } from './network-dialogue.ts'
import { CONSOLE_START, DIALOGUE_START, linesOf, pictureOf } from './picture.ts'
import { placesUnder } from './places.ts'
import { terminalAt } from './terminal.ts'

/** Between two looks at the facts, and at what was typed. */
const LOOK_MS = 2_000
const TYPED_MS = 200

const { values } = parseArgs({
  options: { root: { type: 'string', default: '/' }, console: { type: 'string', default: '/dev/tty1' }, serial: { type: 'string', default: '/dev/ttyS0' } },
})
const places = placesUnder(values.root)
const seatAt = (file: string) => ({
  terminal: terminalAt(file),
  dialogue: createNetworkDialogue(
    () => wiredInterfaces(places),
    network => writeShown(places.typedNetwork, JSON.stringify(network)),
  ),
})
const [console_, serial] = [seatAt(values.console), seatAt(values.serial)]
let picture = ''
let lines: readonly string[] = []

async function show(): Promise<void> {
  const facts = await gatherFacts(places, package_.version)
  if (!console_.dialogue.isOpen) {
    const nextPicture = pictureOf(facts)
    if (console_.terminal.isFresh() || picture === '') console_.terminal.write(CONSOLE_START + nextPicture)
    else if (nextPicture !== picture) console_.terminal.write(nextPicture)
    picture = nextPicture
  }
  if (!serial.dialogue.isOpen) {
    const known = new Set(serial.terminal.isFresh() ? [] : lines)
    lines = linesOf(facts)
    // The line's own end first: others write to it too, and leave it anywhere.
    const fresh = lines.filter(line => !known.has(line))
    if (fresh.length > 0) serial.terminal.write(`\r\n${fresh.join('\r\n')}\r\n`)
  }
}

/** True if something was typed. */
function take({ terminal, dialogue }: ReturnType<typeof seatAt>, start = ''): boolean {
  const typed = terminal.typed()
  for (const line of typed) {
    const before = dialogue.isOpen ? '' : start
    const said = dialogue.line(line)
    if (said !== '') terminal.write(`${before}${said.replaceAll('\n', '\r\n')}`)
  }
  dialogue.look(performance.now())
  return typed.length > 0
}

for (let due_ms = 0; ; await wait(TYPED_MS)) {
  // What was typed stands in the picture.
  if (take(console_, DIALOGUE_START)) picture = ''
  take(serial)
  if (performance.now() < due_ms) continue
  await show()
  due_ms = performance.now() + LOOK_MS
}
