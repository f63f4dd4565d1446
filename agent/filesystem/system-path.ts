// Inside the agent a path is a byte string: one character is one byte, absolute without its leading '/'. The system
// wants bytes; a string of ASCII is that already, and cheaper.

/** What node:fs takes for a byte-string path. */
export const systemPath = (path: string): string | Buffer => (isAscii(path) ? `/${path}` : Buffer.from(`/${path}`, 'latin1'))

/** The byte string of an absolute path as a user types it (UTF-8). */
export const bytePath = (path: string): string => Buffer.from(path.replace(/^\/+/, '').replace(/\/+$/, ''), 'utf8').toString('latin1')

/** A byte string for people: as UTF-8 where it is that, other bytes as \xNN; control characters too, so that a name can't steer a terminal. */
export function shownPath(path: string): string {
  const bytes = Buffer.from(path, 'latin1')
  const text = bytes.toString('utf8')
  const isUtf8 = Buffer.from(text, 'utf8').equals(bytes)
  const hex = (c: string): string => `\\x${(c.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`
  return isUtf8 ? text.replace(/\p{Cc}/gu, hex) : path.replace(/[^\x20-\x7e]/g, hex)
}

const isAscii = (path: string): boolean => /^[\x00-\x7f]*$/.test(path)
