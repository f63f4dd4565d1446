// A whole program: its options, its commands by name, of which only the one that was named is loaded, so that it starts fast,
// and its end. The three programs of Holdfast differ in what they are called and what they do.
import { argv } from 'node:process'
import { Command, CommanderError } from 'commander'
import { EXIT } from '#protocol/fault.ts'
import package_ from '../../package.json' with { type: 'json' }
import { fault } from './errors.ts'
import { createFrame, endWith, type Frame } from './frame.ts'

export type Register = (program: Command, frame: Frame) => void

export type Program = {
  readonly name: string
  readonly description: string
  /** What --home is to this one. */
  readonly home: string
  /** In the order of --help. */
  readonly commands: Readonly<Record<string, () => Promise<Register>>>
  /** Options that all of its commands have besides. */
  readonly more?: (program: Command) => void
  /** Behind the whole help. */
  readonly after?: string
}

/** Runs what the arguments say, and sets the exit code. */
export async function runProgram({ name, description, home, commands, more, after }: Program): Promise<void> {
  const program = new Command(name)
  const frame = createFrame(program, package_.version)
  program
    .description(description)
    .version(package_.version, '-V, --version', 'print the version')
    .option('--home <dir>', home)
    .option('--json', 'one JSON object on stdout')
  more?.(program)
  program
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => {} })
    .showSuggestionAfterError(true)
    .exitOverride()
  if (after !== undefined) program.addHelpText('after', after)
  try {
    for (const load of wanted(program, commands)) (await load())(program, frame)
    inherit(program)
    await program.parseAsync(argv)
  } catch (error) {
    frame.progress.clear()
    process.exitCode = error instanceof CommanderError ? endOfParsing(error) : endWith(error)
  }
}

/** The command that the arguments name, before they are parsed; all of them if they name none. */
function wanted(program: Command, commands: Program['commands']): (() => Promise<Register>)[] {
  const words = argv.slice(2)
  if (words.length === 1 && (words[0] === '--version' || words[0] === '-V')) return []
  const withValue = program.options.flatMap(({ long, required }) => (required && long ? [long] : []))
  const named = words.find((word, at) => !word.startsWith('-') && !withValue.includes(words[at - 1] ?? ''))
  const load = named === undefined ? undefined : commands[named]
  return load ? [load] : Object.values(commands)
}

/** A command that was not understood says so in one line, as every error does. */
function inherit(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command)
    inherit(child)
  }
}

function endOfParsing(error: CommanderError): number {
  if (error.exitCode === 0) return EXIT.done
  if (error.code === 'commander.help') return EXIT.usage
  const found = error.message
    .replace(/^error: /, '')
    .replace(/\s+/g, ' ')
    .trim()
  return endWith(fault('USAGE_WRONG', { found }))
}
