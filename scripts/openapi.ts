// npm run reference: writes the OpenAPI descriptions beside the rooms that they describe. test/appliance/openapi.test.ts
// fails while they say something else than the routes.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeApis } from './openapi/describe.ts'

for (const [file, text] of Object.entries(await describeApis())) {
  writeFileSync(join(import.meta.dirname, '..', file), text)
  process.stdout.write(`${file}\n`)
}
