// Writes the agent as three files, one a thread, into node_modules/.cache/agent: it starts a sixth faster than from its 200
// modules, and takes 5 MB less. The launcher runs them while no source is newer (scripts/agent-is-packed).
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { build, type Plugin } from 'esbuild'

const ROOT = join(import.meta.dirname, '..')
const OUT = join(ROOT, 'node_modules/.cache/agent')

/** Threads are started by the address of their module, which is a packed file too. */
const threads: Plugin = {
  name: 'threads',
  setup({ onLoad }) {
    onLoad({ filter: /\/agent\/.*\.ts$/ }, ({ path }) => ({
      loader: 'ts',
      contents: readFileSync(path, 'utf8').replace(/new URL\('\.\/(\w+)\.ts', import\.meta\.url\)/g, "new URL('./$1.js', import.meta.url)"),
    }))
  },
}

mkdirSync(OUT, { recursive: true })
for (const name of ['chunker.wasm', 'path-hash.wasm']) copyFileSync(join(ROOT, 'agent/format', name), join(OUT, name))
await build({
  absWorkingDir: ROOT,
  entryPoints: { reader: 'agent/backup/reader.ts', worker: 'agent/restore/worker.ts', main: 'agent/cli/main.ts' },
  outdir: OUT,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node26',
  plugins: [threads],
  // With code of the machine's own.
  external: ['classic-level', 'koffi', 'sodium-native'],
  banner: { js: "import { createRequire as toRequire } from 'node:module'; const require = toRequire(import.meta.url);" },
  logLevel: 'warning',
})
