// The committed OpenAPI descriptions are those of the routes.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { AUTHORITY_PATHS } from '#protocol/authority-api.ts'
import { STORAGE_PATHS } from '#protocol/storage-api.ts'
import { describeApis } from '../../scripts/openapi/describe.ts'

const ROOT = join(import.meta.dirname, '../..')

test('the committed OpenAPI descriptions say what the routes say (npm run reference writes them)', async t => {
  for (const [file, text] of Object.entries(await describeApis())) t.is(readFileSync(join(ROOT, file), 'utf8'), text, file)
})

test('every path of the protocol is described', async t => {
  const described = Object.values(await describeApis()).flatMap(text => Object.keys((JSON.parse(text) as { paths: object }).paths))
  for (const path of [...Object.values(AUTHORITY_PATHS), ...Object.values(STORAGE_PATHS)]) t.true(described.includes(path.replace(/:(\w+)/g, '{$1}')), path)
})
