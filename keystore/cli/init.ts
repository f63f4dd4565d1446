// holdfast-keystore init: the ceremony's first step.
import { type Command, InvalidArgumentError } from 'commander'
import type { Frame } from '#cli/frame.ts'
import { createTransport } from '#keystore-client/transport.ts'
import { readAccess } from '#keystore-operate/access.ts'
import { initialise } from '#keystore-operate/init.ts'

type Options = { readonly access: string; readonly pgpKeys: readonly string[]; readonly rootPgpKey: string; readonly threshold: number; readonly out: string }

const THRESHOLD_DEFAULT = 3

/** Adds `init`. */
export function registerInit(program: Command, frame: Frame): void {
  program
    .command('init')
    .description('initialise a new keystore: one share for each PGP key, encrypted to it; nothing in clear is seen or kept')
    .requiredOption('--access <file>', 'how to reach the keystore; its first address is initialised, the other nodes join it')
    .requiredOption('--pgp-keys <file...>', "the share holders' public keys, one file each (gpg --export)")
    .requiredOption('--root-pgp-key <file>', 'the public key of whoever provisions, for the root token')
    .requiredOption('--out <dir>', 'a new folder, for the encrypted shares and the encrypted root token')
    .option('--threshold <n>', 'shares that it takes to unseal', countOf, THRESHOLD_DEFAULT)
    .action(async ({ access: file, pgpKeys, rootPgpKey, threshold, out }: Options) => {
      const access = readAccess(file)
      const transport = createTransport(access)
      try {
        const files = await initialise(transport, access.addresses[0] ?? '', { pgp_keys: pgpKeys, root_pgp_key: rootPgpKey, threshold, out })
        frame.result({ files, threshold }, [
          ...files.slice(0, -1).map((name, at) => `${name}  for the holder of ${pgpKeys[at]}`),
          `${files.at(-1)}  for the holder of ${rootPgpKey}: provision with it, then revoke it`,
          `Hand each to its holder. ${threshold} of ${pgpKeys.length} unseal every node: holdfast-keystore unseal`,
        ])
      } finally {
        transport.close()
      }
    })
}

function countOf(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 2) throw new InvalidArgumentError('a number from 2')
  return count
}
