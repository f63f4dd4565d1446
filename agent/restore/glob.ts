// Patterns of `holdfast find`: * and ? within a name, ** across names, [abc] and [!a-z]. Without a slash a pattern is
// about the last name of a path; with one, about the whole path. Names are matched as UTF-8 where they are that, else byte by byte.
import { isUtf8 } from 'node:buffer'
import { fault } from './errors.ts'

/**
 * Makes a test for byte-string paths.
 *
 * @throws PATTERN_INVALID for an empty pattern or an open [
 */
export function createGlob(pattern: string): (path: string) => boolean {
  if (pattern === '') throw fault('PATTERN_INVALID', { found: 'an empty pattern' })
  if (!pattern.includes('/')) {
    const name = compile(`^${translate(pattern)}$`, pattern)
    return path => name.test(decode(path.slice(path.lastIndexOf('/') + 1)))
  }
  const isAnchored = pattern.startsWith('/')
  const whole = compile(`^${isAnchored ? '' : '(?:.*/)?'}${translate(pattern.replace(/^\/+/, '').replace(/\/+$/, ''))}$`, pattern)
  return path => whole.test(decode(path))
}

function compile(source: string, pattern: string): RegExp {
  try {
    return new RegExp(source, 'su')
  } catch (cause) {
    throw fault('PATTERN_INVALID', { found: pattern, cause })
  }
}

function decode(bytes: string): string {
  if (!/[\x80-\xff]/.test(bytes)) return bytes
  const buffer = Buffer.from(bytes, 'latin1')
  return isUtf8(buffer) ? buffer.toString('utf8') : bytes
}

function translate(glob: string): string {
  let out = ''
  for (let i = 0; i < glob.length; i++) {
    const char = glob.charAt(i)
    if (glob.startsWith('**/', i) && (i === 0 || glob[i - 1] === '/')) {
      out += '(?:.*/)?'
      i += 2
    } else if (glob.startsWith('**', i)) {
      out += '.*'
      i++
    } else if (char === '*') out += '[^/]*'
    else if (char === '?') out += '[^/]'
    else if (char === '[') {
      const close = glob.indexOf(']', i + (glob[i + 1] === '!' || glob[i + 1] === '^' ? 3 : 2))
      if (close < 0) throw fault('PATTERN_INVALID', { expected: 'a ] after [', found: glob })
      const inside = glob.slice(i + 1, close)
      const isNegated = inside.startsWith('!') || inside.startsWith('^')
      out += `(?!/)[${isNegated ? '^' : ''}${(isNegated ? inside.slice(1) : inside).replace(/[\\\]^[]/g, '\\$&')}]`
      i = close
    } else if (char === '\\' && i + 1 < glob.length) out += escapeLiteral(glob.charAt(++i))
    else out += escapeLiteral(char)
  }
  return out
}

const escapeLiteral = (char: string): string => char.replace(/[\\^$.*+?()[\]{}|/-]/g, at => `\\x${at.charCodeAt(0).toString(16)}`)
