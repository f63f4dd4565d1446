// Writes appliance/protocol/typebox.js: the part of TypeBox that builds and checks schemas, as one file. The library comes
// as some 400 modules; as one file it takes a tenth of the time to load, and 20 MB less memory, in every run of the agent.
import { join } from 'node:path'
import { build } from 'esbuild'

await build({
  stdin: {
    contents: "export { default as Type } from 'typebox'\nexport { Check } from 'typebox/schema'\n",
    resolveDir: join(import.meta.dirname, '..'),
  },
  outfile: join(import.meta.dirname, '../appliance/protocol/typebox.js'),
  bundle: true,
  format: 'esm',
  platform: 'node',
  minify: true,
  logLevel: 'warning',
})
