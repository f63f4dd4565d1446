// holdfast-appliance connect: from then on the commands with this state directory are for an appliance on another machine.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { ADMIN_PATHS } from '#authority/admin-api.ts'
import { fault } from '#authority/errors.ts'
import { AUTHORITY_PORT_DEFAULT } from '#authority/home.ts'
import type { Frame } from '#cli/frame.ts'
import { askAdmin } from './admin-client.ts'
import { fetchCa, forgetRemote, readRemote, writeRemote } from './remote.ts'

export function registerConnect(program: Command, frame: Frame): void {
  program
    .command('connect')
    .description('let the commands with this state directory administer an appliance on another machine')
    .argument('<address>', `host or host:port; the port is ${AUTHORITY_PORT_DEFAULT} unless it was set up otherwise`, urlOf)
    .requiredOption('--ca-sha256 <hash>', 'SHA-256 of the CA of the site, as its set-up and its screen show it')
    .requiredOption('--as <administrator>', 'an administrator of the site')
    .action(async (url: string, options: { caSha256: string; as: string }) => {
      const home = frame.home()
      if (existsSync(join(home, 'config.json'))) throw fault('SITE_EXISTS', { found: home })
      const ca = await fetchCa(url, options.caSha256)
      const before = readRemote(home)
      writeRemote(home, { version: 1, url, ca, administrator: options.as })
      try {
        const { version } = await askAdmin(frame, 'GET', ADMIN_PATHS.status)
        frame.result({ url, administrator: options.as, version }, [
          `Connected to ${url} as ${options.as}. Next: holdfast-appliance user add NAME --home ${home}`,
        ])
      } catch (error) {
        if (before) writeRemote(home, before)
        else forgetRemote(home)
        throw error
      }
    })
}

function urlOf(text: string): string {
  const url = URL.parse(`https://${text}`)
  if (!url || url.pathname !== '/' || url.search || url.hash || url.username) throw new InvalidArgumentError('a host, or host:port')
  return `https://${url.hostname}:${url.port || (text.endsWith(':443') ? 443 : AUTHORITY_PORT_DEFAULT)}`
}
