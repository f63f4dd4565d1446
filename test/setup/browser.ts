// A real browser for a test: Chromium without a window, spoken to over its own debugging socket. It trusts one certificate:
// the one with this public key, as a person does who compared the fingerprint.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from './machine.ts'

export type Browser = Awaited<ReturnType<typeof startBrowser>>

/** @param spki  base64 of the SHA-256 of the public key (DER) */
export async function startBrowser(spki: string) {
  const home = mkdtempSync(join(tmpdir(), 'holdfast-browser-'))
  const child: ChildProcess = spawn(
    'chromium',
    [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--remote-debugging-port=0',
      `--user-data-dir=${home}`,
      `--ignore-certificate-errors-spki-list=${spki}`,
      '--window-size=900,1800',
      'about:blank',
    ],
    { stdio: 'ignore', detached: true },
  )
  const ended = new Promise<void>(resolve => child.once('close', () => resolve()))
  const portFile = join(home, 'DevToolsActivePort')
  await until(() => existsSync(portFile) && readFileSync(portFile, 'utf8').includes('\n'))
  const port = readFileSync(portFile, 'utf8').split('\n')[0] ?? ''
  const pages = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as { type: string; webSocketDebuggerUrl: string }[]
  const socket = new WebSocket(pages.find(page => page.type === 'page')?.webSocketDebuggerUrl ?? '')
  await new Promise(resolve => socket.addEventListener('open', resolve))
  const answers = new Map<number, (value: Record<string, unknown>) => void>()
  const events: string[] = []
  socket.addEventListener('message', ({ data }) => {
    const { id, method, result } = JSON.parse(String(data)) as { id?: number; method?: string; result?: Record<string, unknown> }
    if (id !== undefined) answers.get(id)?.(result ?? {})
    else if (method !== undefined) events.push(method)
  })
  let last = 0
  const call = (method: string, params: object = {}): Promise<Record<string, unknown>> =>
    new Promise(resolve => {
      answers.set(++last, resolve)
      socket.send(JSON.stringify({ id: last, method, params }))
    })
  await call('Page.enable')
  /** What an expression gives in the page. */
  const evaluate = async (expression: string): Promise<unknown> =>
    ((await call('Runtime.evaluate', { expression, returnByValue: true }))['result'] as { value?: unknown } | undefined)?.value
  const loaded = async (act: () => Promise<unknown>): Promise<void> => {
    events.length = 0
    await act()
    await until(() => events.includes('Page.loadEventFired'))
  }
  return {
    evaluate,
    open: (url: string) => loaded(() => call('Page.navigate', { url })),
    /** Presses the one button of the page. */
    submit: () => loaded(() => evaluate(`document.querySelector('button').click()`)),
    fill: (values: Readonly<Record<string, string>>) =>
      evaluate(`for (const [id, value] of Object.entries(${JSON.stringify(values)})) document.getElementById(id).value = value`),
    async attach(selector: string, file: string): Promise<void> {
      const { root } = (await call('DOM.getDocument')) as { root?: { nodeId: number } }
      const { nodeId } = await call('DOM.querySelector', { nodeId: root?.nodeId, selector })
      await call('DOM.setFileInputFiles', { nodeId, files: [file] })
    },
    /** A PNG of the whole page. */
    async picture(): Promise<Buffer> {
      return Buffer.from(String((await call('Page.captureScreenshot', { captureBeyondViewport: true }))['data']), 'base64')
    },
    async close() {
      socket.close()
      process.kill(-(child.pid ?? 0), 'SIGKILL')
      await ended
      rmSync(home, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}
