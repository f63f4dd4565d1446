// Runs commands exactly as a user would type them, and shows them.
import { type ChildProcess, spawn } from 'node:child_process'
import { join, relative } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')
const isTerminal = process.stdout.isTTY === true
const styled = (code: number, text: string): string => (isTerminal ? `\x1b[${code}m${text}\x1b[0m` : text)

export const say = (text = ''): void => void process.stdout.write(`${text}\n`)
export const heading = (text: string): void => say(`\n${styled(1, text)}`)
export const note = (text: string): void => say(`  ${text}`)

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)

/** A command line as a user would type it in the checkout. */
export const commandLine = (script: string, parameters: readonly string[]): string =>
  [`scripts/${script}`, ...parameters.map(word => (word.startsWith(`${ROOT}/`) ? relative(ROOT, word) : word))].map(quoted).join(' ')

/** Children that must not outlive this process. */
const running = new Set<ChildProcess>()
let isStopping = false

/**
 * Runs a command of scripts/ to its end; it is shown, and so is what it says.
 *
 * @returns what it wrote to stdout
 */
export function run(script: string, parameters: readonly string[], isAnswerShown = true): Promise<string> {
  if (isStopping) return Promise.reject(new Error('stopped'))
  say(styled(36, `  $ ${commandLine(script, parameters)}`))
  const child = spawn(join(ROOT, 'scripts', script), parameters, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] })
  running.add(child)
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    child.stdout.on('data', (part: Buffer) => parts.push(part))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      running.delete(child)
      const text = Buffer.concat(parts).toString()
      if (isAnswerShown) for (const line of text.trimEnd().split('\n')) if (line) note(line)
      if (code === 0 || code === 3) resolve(text)
      else reject(new Error(`${script} ${parameters[0] ?? ''} ended with ${signal ?? code}`))
    })
  })
}

/** Starts a command that stays; resolves with its first line. */
export function start(script: string, parameters: readonly string[]): Promise<{ child: ChildProcess; line: string }> {
  say(styled(36, `  $ ${commandLine(script, parameters)}`))
  const child = spawn(join(ROOT, 'scripts', script), parameters, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] })
  running.add(child)
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (part: Buffer) => {
      text += part.toString()
      if (text.includes('\n')) resolve({ child, line: text.slice(0, text.indexOf('\n')) })
    })
    child.on('error', reject)
    child.on('close', (code, signal) => {
      running.delete(child)
      reject(new Error(`${script} ${parameters[0] ?? ''} ended with ${signal ?? code}`))
    })
  })
}

/** Ends what still runs, and waits until it has. */
export async function stopAll(): Promise<void> {
  isStopping = true
  await Promise.all(
    [...running].map(child => {
      const ended = new Promise(resolve => child.once('close', resolve))
      child.kill('SIGTERM')
      return ended
    }),
  )
}
