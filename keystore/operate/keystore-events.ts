// What the keystore's audit log says of keys: who signed in, what was opened, handed over, signed, taken out. A call has two
// lines, request and response; only the response of one that was done counts. A restore for somebody else is asked for by one
// request, and opened later, when it was approved: then another response line has the request's id and what it opened (as an
// HMAC: the log never holds a key). So each response that gave something out is one opening, whatever came before it.
import { Compile } from 'typebox/compile'
import { Type } from '#protocol/typebox.js'

/** Only what is compared is checked: there are millions of lines. */
const Text = Type.String()
const Response = Compile(
  Type.Object({
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
  }),
)
/** Of a sign-in by the appliance; other tokens have none, or null. */
const Metadata = Compile(Type.Object({ jti: Type.Optional(Text), device: Type.Optional(Text), role: Type.Optional(Text) }))

export type KeystoreEvent = {
  readonly what: 'sign-in' | 'opening' | 'export' | 'escrow' | 'slot' | 'signing'
  readonly time: string
  readonly tenant: string
  /** Of a sign-in or a signing none. */
  readonly slot: string | undefined
  /** Of an escrow. */
  readonly kid: string | undefined
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
const LINE_BEGIN = '{"time":"'
/** Where a line's own request begins, with its operation and its path: quotes in a string are escaped, so nobody can forge it. */
const REQUEST = Buffer.from('"request":{"id":"')
const REQUEST_BYTES = 4_096
const OF_REQUEST = /"operation":"([a-z]+)".*?"path":"([^"]*)"/
const PATHS: readonly (readonly [KeystoreEvent['what'], RegExp])[] = [
  ['opening', /^tr-([a-z0-9-]{1,64})\/decrypt\/([^/]+)$/],
  ['export', /^tr-([a-z0-9-]{1,64})\/(?:export\/[^/]+|backup)\/([^/]+)(?:\/.*)?$/],
  ['sign-in', /^auth\/jwt-([a-z0-9-]{1,64})\/login$/],
  ['escrow', /^kv-([a-z0-9-]{1,64})\/data\/([^/]+)\/([^/]+)$/],
  ['slot', /^tr-([a-z0-9-]{1,64})\/keys\/([^/]+)$/],
  ['signing', /^tr-([a-z0-9-]{1,64})\/sign\/identity(?:\/.*)?$/],
]
/** What only looks changes nothing. */
const WRITING: ReadonlySet<string> = new Set(['create', 'update', 'patch'])
const BY_WRITING: ReadonlySet<KeystoreEvent['what']> = new Set(['escrow', 'slot', 'signing'])

/**
 * What one line says.
 *
 * @returns undefined if it is about nothing of interest; 'unreadable' if it should be and is no such line
 */
export function eventOf(whole: Buffer): KeystoreEvent | 'unreadable' | undefined {
  // A line that a full disk cut short has the next one behind it.
  const line = whole.subarray(Math.max(0, whole.lastIndexOf(LINE_BEGIN)))
  const type = line.indexOf(TYPE)
  if (type >= 0 && line[type + TYPE.length + 2] !== RESPONSE) return undefined
  const at = line.indexOf(REQUEST)
  const [, operation = '', path = ''] = (at >= 0 && OF_REQUEST.exec(line.toString('latin1', at, at + REQUEST_BYTES))) || []
  const match = matchOf(operation, path)
  // Asked for, and waiting for its approval.
  if (!match || (match.what === 'opening' && !line.includes(PLAINTEXT))) return undefined
  const value = parse(line)
  if (!Response.Check(value) || value.request.path !== path) return 'unreadable'
  if (value.type !== 'response' || (value.error ?? '') !== '') return undefined
  const metadata = value.auth?.metadata
  const { jti, device, role } = Metadata.Check(metadata) ? metadata : {}
  return { ...match, time: value.time, role, jti, device, request_id: value.request.id, who: value.auth?.display_name ?? '' }
}

function matchOf(operation: string, path: string): Pick<KeystoreEvent, 'what' | 'tenant' | 'slot' | 'kid'> | undefined {
  for (const [what, pattern] of PATHS) {
    const [isMatch, tenant = '', slot, kid] = pattern.exec(path) ?? []
    if (isMatch !== undefined) return BY_WRITING.has(what) && !WRITING.has(operation) ? undefined : { what, tenant, slot, kid }
  }
  return undefined
}

function parse(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString('utf8')) as unknown
  } catch {
    return undefined
  }
}
