// Paths below /v1/. Checked before node-vault sees them and again in the transport, because what lies between could resolve,
// decode or cut them: `..` and `//` would be answered by a redirect, `%2f` and `&#x2F;` would become another path.
import { fault } from './errors.ts'

const SEGMENTS_MAX = 12
const PATH_BYTES_MAX = 400
const PATH = /^[A-Za-z0-9-]+(\/[A-Za-z0-9-]+)*$/

/**
 * The path itself, if it is made of plain segments.
 *
 * @throws KEYSTORE_NAME_INVALID
 */
export function checkedPath(path: string): string {
  if (path.length <= PATH_BYTES_MAX && PATH.test(path) && path.split('/').length <= SEGMENTS_MAX) return path
  throw fault('KEYSTORE_NAME_INVALID', { expected: 'segments of A-Z, a-z, 0-9 and -', found: JSON.stringify(path).slice(0, 100) })
}
