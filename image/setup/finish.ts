// The door to the finishing step: systemd starts this for one connection to finish.sock, which only the set-up server's
// user may open. The connection is the whole request; the answer is one line of JSON.
//   --root DIR  the root of the file system (tests)
import { parseArgs } from 'node:util'
import { isFault } from '#protocol/fault.ts'
import { finishSite } from './finish-site.ts'
import { placesUnder } from './places.ts'

const { values } = parseArgs({ options: { root: { type: 'string', default: '/' } } })
process.umask(0o077)
let answer: object
try {
  answer = { done: finishSite(placesUnder(values.root)) }
} catch (error) {
  process.stderr.write(`set-up was not finished: ${isFault(error) ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  answer = { fault: isFault(error) ? error.message : 'the system failed' }
}
process.stdout.write(`${JSON.stringify(answer)}\n`)
