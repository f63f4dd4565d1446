// Compiles the AssemblyScript sources of agent/format into the .wasm files that are committed beside them.
// The result depends on the sources and the pinned compiler only: a test compares it with what is committed.
//   node scripts/build-chunker.ts [DIRECTORY]     default: agent/format itself
import { execFileSync } from 'node:child_process'
import { join, resolve } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
const SOURCES = join(ROOT, 'agent', 'format')
const COMPILER = join(ROOT, 'node_modules', 'assemblyscript', 'bin', 'asc.js')
const OPTIONS = ['-O3', '--noAssert', '--runtime', 'stub', '--importMemory', '--noColors']

export const WASM_MODULES = ['chunker', 'path-hash'] as const

/** Writes the .wasm file of every module into `directory`. */
export function buildWasmModules(directory: string): void {
  for (const name of WASM_MODULES) {
    const output = join(resolve(directory), `${name}.wasm`)
    execFileSync(process.execPath, [COMPILER, `${name}.as.ts`, '--baseDir', SOURCES, '--outFile', output, ...OPTIONS], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  }
}

if (import.meta.main) buildWasmModules(process.argv[2] ?? SOURCES)
