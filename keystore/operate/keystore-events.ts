// What the keystore's audit log says of keys: who signed in, what was opened, what was taken out. A call has two lines,
// request and response; only the response of one that was done counts. A restore for somebody else is asked for by one
// request, and opened later, when it was approved: then another response line has the request's id and what it opened (as an
// HMAC: the log never holds a key). So each response that gave something out is one opening, whatever came before it.
import { Check, Type } from '#protocol/typebox.js'

/** As long as a line may be. Only what is compared is checked: there are millions of lines. */
const Text = Type.String()
const Response = Type.Object({
  time: Text,
  type: Text,
  error: Type.Optional(Text),
  auth: Type.Optional(
    Type.Object({
      display_name: Type.Optional(Text),
      metadata: Type.Optional(Type.Unknown()),
    }),
  ),
  request: Type.Object({ id: Text, path: Text }),
})
/** Of a sign-in by the appliance; other tokens have none, or null. */
const Metadata = Type.Object({ jti: Type.Optional(Text), device: Type.Optional(Text), role: Type.Optional(Text) })

export type KeystoreEvent = {
  readonly what: 'sign-in' | 'opening' | 'export'
  readonly time: string
  readonly tenant: string
  /** Of an opening or export; of a sign-in none. */
  readonly slot: string | undefined
  readonly role: string | undefined
  readonly jti: string | undefined
  readonly device: string | undefined
  readonly request_id: string
  /** As the keystore calls whoever did it. */
  readonly who: string
}

/** Looked for in the bytes, because most lines are about something else: the first `type` is the line's own. */
const TYPE = Buffer.from('"type":"')
const RESPONSE = 'response'.charCodeAt(2)
const PLAINTEXT = Buffer.from('"plaintext":')
const MARKS = [PLAINTEXT, ...['/login"', '/export/', '/backup/'].map(mark => Buffer.from(mark))]
const LINE_BEGIN = '{"time":"'
const PATHS: readonly (readonly [KeystoreEvent['what'], RegExp])[] = [
  ['opening', /^tr-([a-z0-9-]{1,64})\/decrypt\/([^/]+)$/],
  ['export', /^tr-([a-z0-9-]{1,64})\/(?:export\/[^/]+|backup)\/([^/]+)(?:\/.*)?$/],
  ['sign-in', /^auth\/jwt-([a-z0-9-]{1,64})\/login$/],
]

/**
 * What one line says.
 *
 * @returns undefined if it is about nothing of interest; 'unreadable' if it should be and is no such line
 */
export function eventOf(line: Buffer): KeystoreEvent | 'unreadable' | undefined {
  const type = line.indexOf(TYPE)
  if (type >= 0 && line[type + TYPE.length + 2] !== RESPONSE && !isTorn(line)) return undefined
  if (!MARKS.some(mark => line.includes(mark))) return undefined
  const value = parse(line.toString('utf8'))
  if (!Check(Response, value)) return 'unreadable'
  // What stands behind a line that was cut short can be of the other type.
  if (value.type !== 'response' || (value.error ?? '') !== '') return undefined
  for (const [what, pattern] of PATHS) {
    const [isMatch, tenant = '', slot] = pattern.exec(value.request.path) ?? []
    if (isMatch === undefined) continue
    // Asked for, and waiting for its approval.
    if (what === 'opening' && !line.includes(PLAINTEXT)) return undefined
    const { jti, device, role } = Check(Metadata, value.auth?.metadata) ? value.auth.metadata : {}
    return { what, time: value.time, tenant, slot, role, jti, device, request_id: value.request.id, who: value.auth?.display_name ?? '' }
  }
  return undefined
}

/** A line that a full disk cut short has the next one behind it. */
const isTorn = (line: Buffer): boolean => line.includes(LINE_BEGIN, 1)

function parse(text: string): unknown {
  const begin = Math.max(0, text.lastIndexOf(LINE_BEGIN))
  try {
    return JSON.parse(text.slice(begin)) as unknown
  } catch {
    return undefined
  }
}
