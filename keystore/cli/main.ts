// The keystore's command. Only the command that was named is loaded.
import { argv } from 'node:process'
import { Command, CommanderError } from 'commander'
import { fault } from '#cli/errors.ts'
import { createFrame, endWith, type Frame } from '#cli/frame.ts'
import { EXIT } from '#protocol/fault.ts'
import package_ from '../../package.json' with { type: 'json' }

type Register = (program: Command, frame: Frame) => void

/** In the order of --help. */
const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  provision: async () => (await import('./provision.ts')).registerProvision,
  approver: async () => (await import('./approver.ts')).registerApprover,
  approve: async () => (await import('./approve.ts')).registerApprove,
  init: async () => (await import('./init.ts')).registerInit,
  unseal: async () => (await import('./unseal.ts')).registerUnseal,
  status: async () => (await import('./status.ts')).registerStatus,
  snapshot: async () => (await import('./snapshot.ts')).registerSnapshot,
  drill: async () => (await import('./drill.ts')).registerDrill,
  erase: async () => (await import('./erase.ts')).registerErase,
  'root-token': async () => (await import('./root-token.ts')).registerRootToken,
  duty: async () => (await import('./duty.ts')).registerDuty,
  reconcile: async () => (await import('./reconcile.ts')).registerReconcile,
  dev: async () => (await import('./dev.ts')).registerDev,
}

const program = new Command('holdfast-keystore')
const frame = createFrame(program, package_.version)
program
  .description("The keystore's side of Holdfast: sets a Vault-compatible server up for an appliance, and looks after it.")
  .version(package_.version, '-V, --version', 'print the version')
  .option('--home <dir>', 'the directory of this keystore or site (or HOLDFAST_HOME)')
  .option('--json', 'one JSON object on stdout')
  .helpOption('-h, --help', 'print this help')
  .helpCommand('help [command]', 'print the help of a command')
  .configureHelp({ showGlobalOptions: true })
  .configureOutput({ outputError: () => {} })
  .showSuggestionAfterError(true)
  .exitOverride()

try {
  const words = argv.slice(2)
  const name = words.find((word, at) => !word.startsWith('-') && words[at - 1] !== '--home')
  const named = name === undefined ? undefined : COMMANDS[name]
  for (const load of named ? [named] : Object.values(COMMANDS)) (await load())(program, frame)
  const inherit = (command: Command): void => {
    for (const child of command.commands) {
      child.copyInheritedSettings(command)
      inherit(child)
    }
  }
  inherit(program)
  await program.parseAsync(argv)
} catch (error) {
  frame.progress.clear()
  if (error instanceof CommanderError && (error.exitCode === 0 || error.code === 'commander.help')) process.exitCode = error.exitCode && EXIT.usage
  else if (error instanceof CommanderError)
    process.exitCode = endWith(
      fault('USAGE_WRONG', {
        found: error.message
          .replace(/^error: /, '')
          .replace(/\s+/g, ' ')
          .trim(),
      }),
    )
  else process.exitCode = endWith(error)
}
