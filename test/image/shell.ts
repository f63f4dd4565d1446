// The shell that images for tests have on their second serial line (tree/): how a test looks inside.
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'

const ANSWER_MS = 180_000
const ASK_MS = 2_000
const HELLO = 'hello-from-the-machine'

export type Answer = { readonly code: number; readonly output: string }

export class Shell {
  readonly #socket: Socket
  #text = ''
  #isThere = false
  #wake: () => void = () => undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('utf8')
    socket.on('error', () => undefined)
    socket.on('data', (part: string) => {
      this.#text += part.replaceAll('\r', '')
      this.#wake()
    })
    socket.once('close', () => this.#wake())
  }

  /** Runs a line of bash as root, after those asked for before. */
  async run(line: string, timeout_ms = ANSWER_MS): Promise<Answer> {
    const answer = this.#last.then(async () => {
      await this.#begin(timeout_ms)
      return this.#run(line, timeout_ms)
    })
    this.#last = answer.catch(() => undefined)
    return answer
  }

  /** What it prints; it must end with 0. */
  async output(line: string, timeout_ms = ANSWER_MS): Promise<string> {
    const { code, output } = await this.run(line, timeout_ms)
    if (code !== 0) throw new Error(`${line} ended with ${code}: ${output}`)
    return output.trim()
  }

  /** Until the shell is there, nobody reads the line: asks until it answers. */
  async #begin(timeout_ms: number): Promise<void> {
    if (this.#isThere) return
    const ask = (): void => void this.#socket.write(`\nexport PS1= PS2=; stty -echo; echo "${HELLO.slice(0, 3)}""${HELLO.slice(3)}"\n`)
    const asking = setInterval(ask, ASK_MS)
    ask()
    const until_ms = performance.now() + timeout_ms
    try {
      while (!this.#text.includes(HELLO)) {
        if (this.#socket.closed) throw new Error('the machine went off before its shell was there')
        if (performance.now() > until_ms) throw new Error(`no shell in ${timeout_ms / 1000} s`)
        await new Promise<void>(resolve => {
          this.#wake = resolve
          setTimeout(resolve, ASK_MS)
        })
      }
      this.#isThere = true
    } finally {
      clearInterval(asking)
      this.#wake = () => undefined
    }
  }

  async #run(line: string, timeout_ms: number): Promise<Answer> {
    const mark = randomBytes(6).toString('hex')
    // The marks are put together by the shell, so that an echo of the line is not taken for them.
    const ask = (): void =>
      void this.#socket.write(`echo "<${mark.slice(0, 6)}""${mark.slice(6)}"; { ${line}\n} 2>&1; echo "${mark.slice(0, 6)}""${mark.slice(6)}:$?>"\n`)
    const wanted = new RegExp(`<${mark}\\n([\\s\\S]*?)${mark}:(\\d+)>`)
    ask()
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer in ${timeout_ms / 1000} s to: ${line}; it said: ${this.#text.slice(-2000)}`)), timeout_ms)
      this.#wake = () => {
        const match = wanted.exec(this.#text)
        if (!match && !this.#socket.closed) return
        clearTimeout(timer)
        this.#text = ''
        if (match) resolve({ code: Number(match[2]), output: match[1] ?? '' })
        else reject(new Error(`the machine went off during: ${line}`))
      }
      this.#wake()
    })
  }
}
