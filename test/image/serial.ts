// What a machine says on its serial line, and what is typed on it.
import type { Readable, Writable } from 'node:stream'
import { stripVTControlCharacters } from 'node:util'

const WAIT_MS = 300_000
const SHOWN_LINES = 120

export class Serial {
  #text = ''
  #rest = ''
  #isEnded = false
  readonly #input: Writable
  readonly #waiting = new Set<() => void>()

  constructor(output: Readable, input: Writable) {
    this.#input = input
    input.on('error', () => {})
    output.setEncoding('utf8')
    output.on('data', (part: string) => {
      // A control sequence may come in two parts.
      const raw = this.#rest + part
      const end = /\x1b(?:\[[0-9;:?]*)?$/.exec(raw)?.index ?? raw.length
      this.#rest = raw.slice(end)
      this.#text += stripVTControlCharacters(raw.slice(0, end)).replaceAll('\r', '')
      this.#wake()
    })
    output.once('close', () => {
      this.#isEnded = true
      this.#wake()
    })
  }

  #wake(): void {
    for (const look of this.#waiting) look()
  }

  /** All that was said so far, without colours and cursor moves. */
  get text(): string {
    return this.#text
  }

  /** The end of it, for people. */
  get end(): string {
    return this.#text.trimEnd().split('\n').slice(-SHOWN_LINES).join('\n')
  }

  /** Types, as on a keyboard. */
  type(text: string): void {
    this.#input.write(text)
  }

  /**
   * Waits until this was said.
   *
   * @param from  where in `text` it may begin: what was said earlier does not count
   * @throws if the machine ends first, or after timeout_ms
   */
  async waitFor(wanted: RegExp, { from = 0, timeout_ms = WAIT_MS }: { from?: number; timeout_ms?: number } = {}): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const failed = (why: string): void => {
        done()
        reject(new Error(`${why} before it said ${wanted}; its serial line ends:\n${this.end}`))
      }
      const timer = setTimeout(() => failed(`${timeout_ms / 1000} s passed`), timeout_ms)
      const done = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(look)
      }
      const look = (): void => {
        const match = wanted.exec(this.#text.slice(from))
        if (match) {
          done()
          resolve(match)
        } else if (this.#isEnded) failed('the machine ended')
      }
      this.#waiting.add(look)
      look()
    })
  }
}
