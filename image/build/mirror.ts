// Where Debian's packages come from: the mirror that this machine uses itself, or HOLDFAST_DEBIAN_MIRROR.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fault } from './errors.ts'

export type Mirror = { readonly archive: string; readonly security: string }

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
const APT = '/etc/apt'

/** @throws MIRROR_UNKNOWN */
export function mirrorOf(environment: NodeJS.ProcessEnv = process.env, apt = APT): Mirror {
  const given = environment['HOLDFAST_DEBIAN_MIRROR']
  if (given) return { archive: given, security: given.replace(/\/debian\/?$/, '/debian-security') }
  const found = sourcesOf(apt)
  const archive = found.find(one => one.suite.includes('-security') === false && /\/debian\/?$/.test(one.address))
  const security = found.find(one => one.suite.includes('-security'))
  if (!archive) throw fault('MIRROR_UNKNOWN', { found: apt })
  return { archive: archive.address, security: security?.address ?? archive.address.replace(/\/debian\/?$/, '/debian-security') }
}

/** Sources of both forms: `deb ADDRESS SUITE …` lines, and stanzas with URIs and Suites. */
function sourcesOf(apt: string): { address: string; suite: string }[] {
  const folder = join(apt, 'sources.list.d')
  const files = [
    join(apt, 'sources.list'),
    ...(existsSync(folder)
      ? readdirSync(folder)
          .sort()
          .map(name => join(folder, name))
      : []),
  ]
  return files.filter(existsSync).flatMap(file => {
    const text = readFileSync(file, 'utf8').replace(/^\s*#.*$/gm, '')
    if (!file.endsWith('.sources')) {
      return [...text.matchAll(/^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)/gm)].map(match => ({ address: match[1] ?? '', suite: match[2] ?? '' }))
    }
    return text.split(/\n\s*\n/).flatMap(stanza => {
      const field = (name: string): string[] => new RegExp(`^${name}:\\s*(.+)$`, 'm').exec(stanza)?.[1]?.trim().split(/\s+/) ?? []
      return field('URIs').flatMap(address => field('Suites').map(suite => ({ address, suite })))
    })
  })
}

/** An apt source in the form of stanzas. */
export const aptSource = (address: string, suites: readonly string[]): string =>
  ['Types: deb', `URIs: ${address}`, `Suites: ${suites.join(' ')}`, 'Components: main', 'Architectures: amd64', `Signed-By: ${KEYRING}`, ''].join('\n')

/** Lines of this machine's apt configuration about dates and proxies, which a mirror may need. */
export function aptSettings(apt = APT): string {
  const folder = join(apt, 'apt.conf.d')
  if (!existsSync(folder)) return ''
  const text = readdirSync(folder)
    .sort()
    .map(name => readFileSync(join(folder, name), 'utf8'))
    .join('\n')
  return text
    .split('\n')
    .filter(line => /^\s*Acquire::(Check-Valid-Until|Check-Date|https?::Proxy)\b/i.test(line))
    .map(line => `${line}\n`)
    .join('')
}
