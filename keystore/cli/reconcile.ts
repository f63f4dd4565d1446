// holdfast-keystore reconcile: the keystore's audit log against the authority's.
import { type Command, InvalidArgumentError } from 'commander'
import type { Frame } from '#cli/frame.ts'
import { DIFFERENCES, type Difference, reconcile } from '#keystore-operate/reconcile.ts'
import { EXIT } from '#protocol/fault.ts'

type Options = { readonly authority: string; readonly keystore: readonly string[]; readonly since?: number; readonly until?: number }

/** What began so recently may not have ended. */
const UNDER_WAY_MS = 2 * 60_000
/** In the one object of --json; all are counted, and all are lines without it. */
const LISTED_MAX = 1_000

/** Adds `reconcile`. */
export function registerReconcile(program: Command, frame: Frame): void {
  program
    .command('reconcile')
    .description('name every key that the keystore opened or took without an act of the authority, and every act that the keystore knows nothing of')
    .requiredOption('--authority <file>', "the authority's audit log, authority/audit.log in the site's home")
    .requiredOption('--keystore <file...>', "the keystore's audit log of every node, of one audit device, rotated ones too")
    .option('--since <time>', 'tell what is from then on, like 2026-01-31T12:00Z (default: all)', timeOf)
    .option('--until <time>', 'tell what is until then (default: two minutes ago, because what is under way is not whole)', timeOf)
    .action(async ({ authority, keystore, since = Number.NEGATIVE_INFINITY, until = Date.now() - UNDER_WAY_MS }: Options) => {
      const listed: Difference[] = []
      const found = await reconcile({ authority, keystore }, { since_ms: since, until_ms: until }, difference => {
        frame.line(lineOf(difference))
        if (frame.isJson() && listed.length < LISTED_MAX) listed.push(difference)
      })
      const isSame = found.differences === 0
      frame.result({ ...found, ok: isSame, listed }, [
        `${found.acts} acts, ${found.openings} openings, ${found.sign_ins} sign-ins and ${found.escrows} escrows compared: ${isSame ? 'no difference' : `${found.differences} differences`}`,
      ])
      if (!isSame) frame.exit(EXIT.damaged)
    })
}

function lineOf({ kind, time, ...facts }: Difference): string {
  const shown = Object.entries(facts).flatMap(([name, value]) => (value === undefined || value === '' ? [] : [`${name} ${value}`]))
  return `${time} ${kind}: ${DIFFERENCES[kind]}: ${shown.join(', ')}`
}

function timeOf(text: string): number {
  const time_ms = Date.parse(text)
  if (Number.isNaN(time_ms)) throw new InvalidArgumentError('a time like 2026-01-31T12:00Z')
  return time_ms
}
