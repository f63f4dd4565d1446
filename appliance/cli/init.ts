// holdfast-appliance init: makes a site.
import { type Command, InvalidArgumentError } from 'commander'
import { AUTHORITY_PORT_DEFAULT, initHome, STORAGE_PORT_DEFAULT } from '#authority/home.ts'
import type { Frame } from '#cli/frame.ts'
import { readConnection } from '#keystore-client/connection.ts'
import { fault } from './errors.ts'
import { readRemote } from './remote.ts'
import { slotsOf } from './slots.ts'

type Options = {
  readonly listen: string
  readonly authorityPort: number
  readonly storagePort: number
  readonly keystore: string
  readonly slotsReady?: number
}

export function registerInit(program: Command, frame: Frame): void {
  program
    .command('init')
    .description('set a site up: its certificates, keys and configuration')
    .option('--listen <host>', 'the address or name that agents reach this appliance at', '127.0.0.1')
    .option('--authority-port <n>', 'port of the authority', portOf, AUTHORITY_PORT_DEFAULT)
    .option('--storage-port <n>', 'port of the storage node', portOf, STORAGE_PORT_DEFAULT)
    .option('--keystore <file>', 'the connection file that `holdfast-keystore provision` wrote, or none', 'none')
    .option('--slots-ready <n>', 'how many new users can be paired while the keystore is sealed or away; `slots --ready` changes it later', slotsOf)
    .action(async (options: Options) => {
      const home = frame.home()
      if (readRemote(home)) throw fault('APPLIANCE_ELSEWHERE', { found: home })
      const connection = options.keystore === 'none' ? undefined : JSON.stringify(readConnection(options.keystore))
      const { ca_sha256 } = await initHome(
        home,
        {
          listen: options.listen,
          authority_port: options.authorityPort,
          storage_port: options.storagePort,
          ...(options.slotsReady === undefined ? {} : { slots_ready: options.slotsReady }),
        },
        connection,
        Date.now(),
      )
      frame.result({ home, ca_sha256 }, [
        `Set up in ${home}. The site's CA has the SHA-256 ${ca_sha256}.`,
        `Next: holdfast-appliance user add NAME --home ${home}`,
        `      holdfast-appliance run --home ${home}`,
      ])
    })
}

function portOf(text: string): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new InvalidArgumentError('a port is a number from 1 to 65535')
  return port
}
