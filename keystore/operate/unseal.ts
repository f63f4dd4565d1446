// Unsealing: each holder gives a share to every sealed node, at one terminal or at several. Invariants:
//   a share is in the memory of this process only; it goes to the nodes and nowhere else, and into no error;
//   a node takes any shares that belong together, and when the last of them comes and they do not, it forgets all of them
//   and does not say which was wrong. Whoever gave enough shares at one terminal can find out: with one share more, those
//   that open show which did not.
// Nothing of this is in the keystore's audit log: `status --watch` sees it.
import { setTimeout as pause } from 'node:timers/promises'
import { checked } from '#keystore-client/answers.ts'
import { ANSWER_MS, type Transport } from '#keystore-client/transport.ts'
import { fault } from './errors.ts'
import { SealStatus, sealStatusOf } from './seal-status.ts'

const PATH = 'sys/unseal'
/** As the keystore makes them: 33 bytes, in hex or in base64. */
const SHARE = /^([0-9a-f]{66}|[A-Za-z0-9+/]{44})$/
/** A node that has its shares opens at once; one that joins others fetches their data first. */
const OPENING_MS = 30_000
const AGAIN_MS = 200

export type Progress = {
  readonly address: string
  readonly is_open: boolean
  readonly given: number
  readonly needed: number
  /** What must be said: for people. */
  readonly note: string | undefined
}

export type Unsealing = {
  /**
   * Gives one more share to every node that is sealed.
   *
   * @throws SHARE_INVALID  it is no share at all; nothing was given
   * @throws KEYSTORE_UNREACHABLE, KEYSTORE_UNTRUSTED
   */
  give(share: string): Promise<Progress[]>
  /** How far each node is; what somebody else has spoiled is in its note. */
  look(): Promise<Progress[]>
}

type Node = {
  readonly address: string
  /** As it was when we looked last. */
  given: number
  /** All shares of this terminal together did not open it. */
  isSpoiled: boolean
}

/** Unsealing of these nodes from this terminal. */
export function createUnsealing(transport: Transport, addresses: readonly string[]): Unsealing {
  const nodes: Node[] = addresses.map(address => ({ address, given: 0, isSpoiled: false }))
  const shares: string[] = []
  /** Of `shares` only those are left that opened a node together. */
  let isSolved = false

  const post = async (address: string, body: { key: string } | { reset: true }): Promise<SealStatus | undefined> => {
    const { status, body: answer } = await transport.send({ address, method: 'POST', path: PATH, body })
    // 400 and 500: together they open nothing.
    return status === 200 ? checked(SealStatus, answer, PATH) : undefined
  }
  const told = (node: Node, status: SealStatus, note?: string): Progress => {
    node.given = status.sealed ? status.progress : 0
    return { address: node.address, is_open: !status.sealed, given: status.progress, needed: status.t, note }
  }
  const giveAll = async (address: string, some: readonly string[]): Promise<SealStatus | undefined> => {
    let last: SealStatus | undefined
    for (const key of some) last = await post(address, { key })
    return last
  }

  const giveTo = async (node: Node): Promise<Progress> => {
    const { address } = node
    const before = await sealStatusOf(transport, address, ANSWER_MS)
    if (!before.initialized) return told(node, before, 'it is not initialised, or has not joined the others yet')
    if (!before.sealed) return told(node, before)
    if (node.isSpoiled && (isSolved || shares.length > before.t)) return solve(node, before)
    const isSetBack = before.progress < node.given
    const after = await giveAll(address, isSetBack ? shares : shares.slice(-1))
    if (!after) return spoiled(node, before)
    // The last one, of a node that takes a while to open.
    if (after.sealed && after.progress < before.progress) return told(node, await opening(address))
    if (isSetBack) return told(node, after, 'somebody had set it back to 0: all shares of this terminal were given again')
    return told(
      node,
      after,
      after.sealed && after.progress === before.progress ? `share ${shares.length} was given before: it does not count twice` : undefined,
    )
  }

  const spoiled = async (node: Node, { t }: SealStatus): Promise<Progress> => {
    node.isSpoiled = shares.length >= t
    const which = node.isSpoiled
      ? `one of the ${t} shares of this terminal is wrong; give one more, and it will be known which`
      : `this share is wrong, or one that was given at another terminal: begin anew, best with all holders at one terminal, which finds out which`
    return told(node, await sealStatusOf(transport, node.address, ANSWER_MS), `it is back at 0: ${which}`)
  }

  /** Every choice that has the newest share in it; those without it have failed. */
  const solve = async (node: Node, { t }: SealStatus): Promise<Progress> => {
    const older = shares.slice(0, -1)
    for (const chosen of choices(older, t - 1)) {
      const right = [...chosen, ...shares.slice(-1)]
      await post(node.address, { reset: true })
      const after = await giveAll(node.address, right)
      if (!after) continue
      const wrong = older.filter(share => !chosen.includes(share)).map(share => shares.indexOf(share) + 1)
      node.isSpoiled = false
      isSolved = true
      // The other nodes get these at once.
      shares.splice(0, shares.length, ...right)
      return told(
        node,
        after.sealed ? await opening(node.address) : after,
        wrong.length === 0 ? undefined : `share ${wrong.join(' and share ')} of this terminal is wrong`,
      )
    }
    return told(node, await sealStatusOf(transport, node.address, ANSWER_MS), 'it is back at 0: more than one share of this terminal is wrong; give one more')
  }

  const opening = async (address: string): Promise<SealStatus> => {
    for (const end_ms = performance.now() + OPENING_MS; ; await pause(AGAIN_MS)) {
      const status = await sealStatusOf(transport, address, ANSWER_MS)
      if (!status.sealed || performance.now() > end_ms) return status
    }
  }

  return {
    async give(text) {
      const share = text.trim()
      if (!SHARE.test(share)) throw fault('SHARE_INVALID', { found: `${share.length} characters` })
      if (!shares.includes(share)) shares.push(share)
      const progress: Progress[] = []
      for (const node of nodes) progress.push(await giveTo(node))
      return progress
    },
    look: () =>
      Promise.all(
        nodes.map(async node => {
          const status = await sealStatusOf(transport, node.address, ANSWER_MS)
          const isSetBack = status.sealed && status.progress < node.given
          return told(node, status, isSetBack ? 'somebody set it back to 0: the shares must be given again' : undefined)
        }),
      ),
  }
}

/** Every way to choose so many. */
function* choices<Item>(items: readonly Item[], count: number): Generator<readonly Item[]> {
  if (count === 0) yield []
  else for (const [at, item] of items.entries()) for (const rest of choices(items.slice(at + 1), count - 1)) yield [item, ...rest]
}
