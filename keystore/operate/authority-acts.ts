// What the authority's audit log says of keys. An act is recorded before it is done, with its jti and the slot that it is for
// (`key.open`, `restore.ask`); `<what>.open` says that opening begins, `<what>.opened` that it was done, with the keystore's
// request ids, and `<what>.open.failed` that it was not. What was only asked for need not have been opened. `escrow.accept`
// says that a key will be handed over to the keystore, under a kid that no other key has.
import { Compile } from 'typebox/compile'
import { type Static, Type } from '#protocol/typebox.js'
import { type Acts, createActs } from './acts.ts'
import { readChained } from './chained-log.ts'
import { fault } from './errors.ts'

const Text = Type.String()
/** Only what is compared is checked: there is a line for each key that was ever given out. */
const Line = Type.Object({
  time: Text,
  act: Text,
  who: Text,
  facts: Type.Object({
    jti: Type.String({ pattern: '^[0-9a-f]{32}$' }),
    slot: Type.Optional(Type.String({ pattern: '^s-[0-9a-f]{32}$' })),
    requests: Type.Optional(Text),
  }),
})
const isLine = Compile(Line)
const MARK = '"jti":"'
const Accepted = Type.Object({
  time: Text,
  who: Text,
  facts: Type.Object({ slot: Type.String({ pattern: '^s-[0-9a-f]{32}$' }), kid: Type.String({ pattern: '^[1-9][0-9]{0,8}-[0-9a-f]{32}$' }) }),
})
const isAccepted = Compile(Accepted)
const ACCEPTED_MARK = '"act":"escrow.accept"'
/** What makes a kid its own: the hash in it, as many digits as a jti has. */
export const hashIn = (kid: string): string => kid.slice(kid.indexOf('-') + 1)

/** One line, for people. */
export type Act = {
  readonly time: string
  readonly who: string
  readonly tenant?: string
  readonly slot?: string
  readonly kid?: string
  readonly jti?: string
  readonly device?: string
}

export type Odd = (kind: 'act-repeated' | 'outcome-without-act', act: Act) => void

/**
 * Reads the acts that open keys.
 *
 * @returns     what was opened, by jti, and what was accepted, by the hash in its kid
 * @param odd  told of each act that has the jti of another, and of each outcome that belongs to none
 * @throws LOG_BROKEN, LOG_UNREADABLE
 */
export async function readActs(file: string, odd: Odd): Promise<{ acts: Acts; escrows: Acts }> {
  const [acts, escrows] = [createActs(), createActs()]
  const broken = (offset: number): Error =>
    fault('LOG_BROKEN', { expected: 'acts with a jti of 32 hex digits, or with a slot and a kid', found: `another at byte ${offset} of ${file}` })
  await readChained(file, (text, offset) => {
    if (text.includes(ACCEPTED_MARK)) {
      const accepted: unknown = JSON.parse(text)
      if (!isAccepted.Check(accepted)) throw broken(offset)
      // One that was recorded and not written (a crash) is recorded again.
      return void escrows.add(hashIn(accepted.facts.kid), accepted.facts.slot, offset)
    }
    if (!text.includes(MARK)) return
    const line = lineOf(text)
    if (!line) throw broken(offset)
    const { jti, slot, requests = '' } = line.facts
    if (slot !== undefined && !acts.add(jti, slot, offset)) return odd('act-repeated', actOf(text))
    const act = acts.find(jti)
    if (!act) return odd('outcome-without-act', actOf(text))
    if (line.act.endsWith('.open')) act.setBegun()
    else if (line.act.endsWith('.opened')) act.setOpened(requests.split(' '))
    else if (line.act.endsWith('.open.failed')) act.setFailed()
  })
  return { acts, escrows }
}

/** What a line of the log says, for people. */
export function actOf(text: string): Act {
  const value: unknown = JSON.parse(text)
  const line = isLine.Check(value) || isAccepted.Check(value) ? value : undefined
  const facts: Readonly<Record<string, unknown>> = line?.facts ?? {}
  const fact = (name: string): object => (typeof facts[name] === 'string' ? { [name]: facts[name] } : {})
  return { time: line?.time ?? '', who: line?.who ?? '', ...fact('tenant'), ...fact('slot'), ...fact('kid'), ...fact('jti'), ...fact('device') }
}

function lineOf(text: string): Static<typeof Line> | undefined {
  const value: unknown = JSON.parse(text)
  return isLine.Check(value) ? value : undefined
}
