// Checks tickets (protocol/ticket.ts): signature, type, issuer, audience, times, and the certificate that a ticket is
// bound to. The authority is not asked. A signature is checked once: verified tickets are remembered, a bounded number
// of them; their times are checked at each request.
import { createPublicKey } from 'node:crypto'
import { errors, jwtVerify } from 'jose'
import { Compile } from 'typebox/compile'
import { fault } from '#protocol/errors.ts'
import { CLOCK_SKEW_MS } from '#protocol/limits.ts'
import { TICKET_AUDIENCE, TICKET_ISSUER, TICKET_SCHEME, TICKET_TYPE, TicketClaims } from '#protocol/ticket.ts'

const VERIFIED_MAX = 2_000
const TICKET_CHARACTERS_MAX = 4_096
const claimsValidator = Compile(TicketClaims)

export type Tickets = {
  /**
   * The claims of a request's ticket.
   *
   * @param authorization  the request's header
   * @param thumbprint     of the certificate on its connection
   * @throws TICKET_INVALID, TICKET_EXPIRED, TICKET_NOT_YOURS
   */
  check(authorization: string | undefined, thumbprint: string): Promise<TicketClaims>
}

/** @param publicKey_pem  Ed25519, SPKI */
export function createTickets(publicKey_pem: string, now: () => number = Date.now): Tickets {
  const key = createPublicKey(publicKey_pem)
  const verified = new Map<string, TicketClaims>()

  const verify = async (text: string): Promise<TicketClaims> => {
    try {
      const { payload } = await jwtVerify(text, key, {
        algorithms: ['EdDSA'],
        typ: TICKET_TYPE,
        issuer: TICKET_ISSUER,
        audience: TICKET_AUDIENCE,
        clockTolerance: CLOCK_SKEW_MS / 1000,
        currentDate: new Date(now()),
      })
      if (!claimsValidator.Check(payload)) throw fault('TICKET_INVALID', { expected: 'the claims of a ticket', found: 'others' })
      return payload
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw fault('TICKET_EXPIRED', { cause: error })
      if (error instanceof errors.JOSEError) throw fault('TICKET_INVALID', { cause: error })
      throw error
    }
  }
  const remember = (text: string, claims: TicketClaims): void => {
    const oldest = verified.size >= VERIFIED_MAX ? verified.keys().next().value : undefined
    if (oldest !== undefined) verified.delete(oldest)
    verified.set(text, claims)
  }

  return {
    async check(authorization, thumbprint) {
      const [scheme, text, ...others] = authorization?.split(' ') ?? []
      if (scheme !== TICKET_SCHEME || !text || others.length > 0 || text.length > TICKET_CHARACTERS_MAX) {
        throw fault('TICKET_INVALID', { expected: `the header "authorization: ${TICKET_SCHEME} …"`, found: authorization === undefined ? 'none' : 'another' })
      }
      const known = verified.get(text)
      const claims = known ?? (await verify(text))
      if (!known) remember(text, claims)
      const now_ms = now()
      if (claims.exp * 1000 + CLOCK_SKEW_MS <= now_ms) {
        verified.delete(text)
        throw fault('TICKET_EXPIRED')
      }
      if (claims.iat * 1000 - CLOCK_SKEW_MS > now_ms) {
        throw fault('TICKET_INVALID', { expected: 'a ticket of now', found: 'one of the future', next: 'set the clocks of the appliance' })
      }
      if (claims.cnf['x5t#S256'] !== thumbprint) throw fault('TICKET_NOT_YOURS')
      return claims
    },
  }
}
