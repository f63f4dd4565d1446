// The set-up code: who has it stands at the machine. 50 random bits, shown on the screen and nowhere else, kept in memory
// only. It works once: whoever used it goes on with a session, and the screen shows another code. Wrong tries are
// answered ever later, each peer in its own turn, and after so many the code is another one.
import { createHash, randomInt, timingSafeEqual } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { fault } from './errors.ts'

/** Without I, L, O and U, which are mistaken for others (Crockford's base 32). */
const LETTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const GROUP = 5
const GROUPS = 2
const PAUSE_MS = 500
const PAUSE_MS_MAX = 30_000
/** Wrong tries that one code bears. */
const TRIES_MAX = 20
/** Tries of one peer that wait at once. */
const WAITING_MAX = 4
/** Peers that are remembered; all others share one turn. */
const PEERS_MAX = 64

type Turn = { wrong: number; last_ms: number; waiting: number; turn: Promise<unknown> }

export type Code = ReturnType<typeof createCode>

/** @param show  is told the code whenever there is another one, and how many wrong tries there were in all */
export function createCode(show: (code: string, wrong: number) => void) {
  const turns = new Map<string, Turn>()
  let code = randomCode()
  let wrongOfCode = 0
  let wrong = 0
  const change = (): void => {
    code = randomCode()
    wrongOfCode = 0
  }
  const turnOf = (peer: string): Turn => {
    const name = turns.has(peer) || turns.size < PEERS_MAX ? peer : 'others'
    const turn = turns.get(name) ?? { wrong: 0, last_ms: 0, waiting: 0, turn: Promise.resolve() }
    turns.set(name, turn)
    return turn
  }
  const attempt = async (turn: Turn, given: string): Promise<void> => {
    if (turn.wrong > 0) await wait(Math.max(0, turn.last_ms + Math.min(PAUSE_MS_MAX, PAUSE_MS * 2 ** (turn.wrong - 1)) - performance.now()))
    if (isSame(given, code)) {
      turn.wrong = 0
      change()
      show(code, wrong)
      return
    }
    turn.wrong++
    turn.last_ms = performance.now()
    wrong++
    if (++wrongOfCode >= TRIES_MAX) change()
    show(code, wrong)
    throw fault('CODE_WRONG')
  }
  show(code, wrong)
  return {
    /**
     * Uses the code up.
     *
     * @param peer  the address of who tries
     * @throws CODE_WRONG, CODE_TRIES
     */
    async take(peer: string, given: string): Promise<void> {
      const turn = turnOf(networkOf(peer))
      if (turn.waiting >= WAITING_MAX) throw fault('CODE_TRIES')
      turn.waiting++
      const mine = turn.turn.then(() => attempt(turn, given))
      turn.turn = mine.catch(() => {})
      try {
        await mine
      } finally {
        turn.waiting--
      }
    },
  }
}

/** A peer with IPv6 has as many addresses as it likes in its /64. */
function networkOf(peer: string): string {
  const plain = peer.replace(/^::ffff:/, '').replace(/%.*$/, '')
  return plain.includes(':') ? plain.split(':').slice(0, 4).join(':') : plain
}

function randomCode(): string {
  const groups = Array.from({ length: GROUPS }, () => Array.from({ length: GROUP }, () => LETTERS[randomInt(LETTERS.length)]).join(''))
  return groups.join('-')
}

/** In constant time, whatever was typed; small letters, spaces and look-alikes do not matter. */
export function isSame(given: string, code: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(plainOf(text)).digest()
  return timingSafeEqual(digest(given), digest(code))
}

const plainOf = (text: string): string => text.toUpperCase().replace(/[\s-]/g, '').replaceAll('O', '0').replace(/[IL]/g, '1')
