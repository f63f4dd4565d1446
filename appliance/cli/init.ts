// holdfast-appliance init: makes a site.
import { type Command, InvalidArgumentError } from 'commander'
import { fault } from '#authority/errors.ts'
import { AUTHORITY_PORT_DEFAULT, initHome, STORAGE_PORT_DEFAULT } from '#authority/home.ts'
import type { Frame } from '#cli/frame.ts'

type Options = { readonly listen: string; readonly authorityPort: number; readonly storagePort: number; readonly keystore: string }

export function registerInit(program: Command, frame: Frame): void {
  program
    .command('init')
    .description('set a site up: its certificates, keys and configuration')
    .option('--listen <host>', 'the address or name that agents reach this appliance at', '127.0.0.1')
    .option('--authority-port <n>', 'port of the authority', portOf, AUTHORITY_PORT_DEFAULT)
    .option('--storage-port <n>', 'port of the storage node', portOf, STORAGE_PORT_DEFAULT)
    .option('--keystore <file>', "the keystore's configuration, or none", 'none')
    .action(async (options: Options) => {
      if (options.keystore !== 'none') throw fault('KEYSTORE_UNAVAILABLE', { found: options.keystore })
      const home = frame.home()
      const { ca_sha256 } = await initHome(
        home,
        { listen: options.listen, authority_port: options.authorityPort, storage_port: options.storagePort, keystore: 'none' },
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
