// Addresses set by whoever stands at the machine, with a keyboard or on the serial line: one question after another, each
// answered by a line. What comes of it is checked as any other settings, and set only after a word that nothing types by itself.
import { isFault } from '#protocol/fault.ts'
import { checkNetwork, type Network } from './network.ts'

/** What begins it. */
export const NETWORK_WORD = 'network'
const CANCEL_WORD = 'cancel'
const YES_WORD = 'yes'
const DHCP_WORD = 'dhcp'
/** Then whoever began has gone, and the screen is wanted again. */
const IDLE_MS = 3 * 60_000

type Answers = Partial<Record<'address' | 'gateway' | 'dns' | 'interface', string>>

const QUESTIONS = [
  { name: 'address', text: `IPv4 address and prefix, as 192.0.2.10/24, or ${DHCP_WORD}` },
  { name: 'gateway', text: 'Gateway, or Enter for none', isOfStatic: true },
  { name: 'dns', text: 'Name servers with spaces between, or Enter for none but those of DHCP' },
  { name: 'interface', text: 'Interface, or Enter for the first' },
] as const satisfies readonly { name: keyof Answers; text: string; isOfStatic?: boolean }[]

export type NetworkDialogue = {
  /** Between its first question and its end the terminal is its own. */
  readonly isOpen: boolean
  /** Takes a line that was typed; returns what is to be said then. */
  line(typed: string): string
  /** Ends it if nobody has answered for long. */
  look(now_ms: number): void
}

/**
 * @param wired  the wired interfaces that there are
 * @param keep   is called with checked settings
 */
export function createNetworkDialogue(wired: () => readonly string[], keep: (network: Network) => void): NetworkDialogue {
  let answers: Answers | undefined
  let checked: Network | undefined
  let last_ms = 0
  const nextQuestion = (): (typeof QUESTIONS)[number] | undefined =>
    QUESTIONS.find(one => answers?.[one.name] === undefined && !('isOfStatic' in one && answers?.address === DHCP_WORD))
  const ask = (): string => {
    const question = nextQuestion()
    if (question) return `${question.text}${question.name === 'interface' ? ` (${wired().join(', ')})` : ''}: `
    try {
      checked = checkNetwork(networkOf(answers ?? {}))
      return `\n${JSON.stringify(checked)}\nType ${YES_WORD} to set this, anything else to begin again: `
    } catch (error) {
      if (!isFault(error)) throw error
      return begin(`${error.message}\n`)
    }
  }
  const begin = (before: string): string => {
    answers = {}
    checked = undefined
    return `${before}\nThe network of this appliance (${CANCEL_WORD} ends this)\n${ask()}`
  }
  const end = (said: string): string => {
    answers = undefined
    checked = undefined
    return said
  }
  return {
    get isOpen() {
      return answers !== undefined
    },
    look(now_ms) {
      if (answers && now_ms - last_ms > IDLE_MS) end('')
    },
    line(typed) {
      const text = typed.trim()
      last_ms = performance.now()
      if (!answers) return text === NETWORK_WORD ? begin('') : ''
      if (text === CANCEL_WORD) return end('Nothing was changed.\n')
      if (checked) {
        if (text !== YES_WORD) return begin('')
        keep(checked)
        return end('Kept; it is in force in a moment.\n')
      }
      const question = nextQuestion()
      if (question) answers[question.name] = text
      return ask()
    },
  }
}

/** Not checked. */
const networkOf = ({ address = '', gateway = '', dns = '', interface: name = '' }: Answers): unknown => ({
  version: 1,
  ...(name === '' ? {} : { interface: name }),
  ipv4: address === DHCP_WORD ? { method: 'dhcp' } : { method: 'static', address, ...(gateway === '' ? {} : { gateway }) },
  ipv6: { method: 'auto' },
  dns: dns.split(/[\s,]+/).filter(one => one !== ''),
})
