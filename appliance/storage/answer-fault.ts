// What a client is told about an error: the fault, if it is one of the protocol's; of all others only that there was one.
import { answerOfFault, fault, PROTOCOL_ERRORS } from '#protocol/errors.ts'
import { Fault } from '#protocol/fault.ts'

/** The fault to answer; an unexpected error is handed to `log` whole. */
export function faultToAnswer(error: unknown, log: (error: unknown) => void): Fault {
  if (error instanceof Fault && error.code in PROTOCOL_ERRORS) {
    if (error.status >= 500 && error.cause !== undefined) log(error)
    return error
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return fault('BODY_TOO_LARGE')
  const status = error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : 500
  if (status >= 400 && status < 500 && typeof code === 'string' && code.startsWith('FST_'))
    return fault('REQUEST_INVALID', { found: REASONS[code] ?? 'another request' })
  log(error)
  return fault('INTERNAL')
}

const REASONS: Readonly<Record<string, string>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'another content type',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'an empty body',
  FST_ERR_CTP_INVALID_JSON_BODY: 'no JSON',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'a body of another length than announced',
  FST_ERR_BAD_URL: 'an address that cannot be read',
}

/** A whole HTTP answer for what is no HTTP request. */
export function rawAnswer(): string {
  const body = JSON.stringify(answerOfFault(fault('REQUEST_INVALID', { expected: 'HTTP/1.1', found: 'something else' })))
  return `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`
}
