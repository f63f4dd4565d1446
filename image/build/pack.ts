// The programs of the services, each as one file of plain JavaScript. From several hundred modules of TypeScript an emulated
// machine takes twenty seconds to start one, because the runtime first compiles its own TypeScript parser, and then looks for
// each module. The files keep the layout of the checkout, with .js instead of .ts.
import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build, type Plugin } from 'esbuild'
import { fault } from './errors.ts'

const ROOT = join(import.meta.dirname, '../..')
/** With code of the machine's own. */
export const EXTERNAL = ['classic-level', 'koffi', 'sodium-native']
const REQUIRE = "import { createRequire as toRequire } from 'node:module'; const require = toRequire(import.meta.url);"

/**
 * Packs programs.
 *
 * @param programs  entry points, relative to the checkout: what units start, and threads
 * @param place  where the checkout's layout lies when they run: modules that read files beside them look there
 * @throws IMAGE_BUILD_FAILED
 */
export async function pack(programs: readonly string[], out: string, place: string): Promise<void> {
  const placed: Plugin = {
    name: 'placed',
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, ({ path }) => ({ loader: 'ts', contents: atPlace(readFileSync(path, 'utf8'), join(place, relative(ROOT, path))) }))
    },
  }
  await build({
    absWorkingDir: ROOT,
    entryPoints: [...programs],
    outdir: out,
    outbase: ROOT,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node26',
    plugins: [placed],
    external: [...EXTERNAL],
    banner: { js: REQUIRE },
    legalComments: 'none',
    logLevel: 'silent',
  }).catch((cause: unknown) => {
    throw fault('IMAGE_BUILD_FAILED', { found: cause instanceof Error ? cause.message : String(cause), cause })
  })
}

/** A module's own address; but threads are packed too, and lie beside the program that starts them. */
function atPlace(source: string, path: string): string {
  return source
    .replace(/new URL\('\.\/([\w-]+)\.ts', import\.meta\.url\)/g, "new URL('./$1.js', import.meta['url'])")
    .replaceAll('import.meta.dirname', JSON.stringify(join(path, '..')))
    .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href))
}
