// What is in the image, for whoever has to know (a bill of materials in CycloneDX): Debian's packages as mkosi installed them,
// our libraries as package-lock.json has them, the runtime, and this program. The same image has the same one.
import { readFileSync, writeFileSync } from 'node:fs'
import Type from 'typebox'
import { Check } from 'typebox/value'
import { fault } from './errors.ts'
import { shippedLibraries } from './program.ts'

const MS_PER_S = 1000

const Installed = Type.Object({
  packages: Type.Array(Type.Object({ type: Type.String(), name: Type.String(), version: Type.String(), architecture: Type.String() })),
})

/**
 * @param installed  mkosi's list of packages
 * @throws IMAGE_BUILD_FAILED
 */
export function writeSbom(file: string, installed: string, version: number, epoch_s: number): void {
  const list: unknown = JSON.parse(readFileSync(installed, 'utf8'))
  if (!Check(Installed, list)) throw fault('IMAGE_BUILD_FAILED', { found: "mkosi's list of packages is of another shape" })
  const debian = list.packages.map(one => ({
    type: 'library',
    name: one.name,
    version: one.version,
    purl: `pkg:deb/debian/${one.name}@${encodeURIComponent(one.version)}?arch=${one.architecture}&distro=debian-13`,
  }))
  const libraries = shippedLibraries().map(one => ({
    type: one.name === 'node' ? 'platform' : 'library',
    name: one.name,
    version: one.version,
    purl: `pkg:npm/${one.name.replace('@', '%40')}@${one.version}`,
    ...(one.license === undefined ? {} : { licenses: [{ expression: one.license }] }),
    ...(one.integrity === undefined ? {} : { hashes: [hashOf(one.integrity)] }),
  }))
  const components = [...debian, ...libraries].sort((a, b) => (a.purl < b.purl ? -1 : 1))
  const bill = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      timestamp: new Date(epoch_s * MS_PER_S).toISOString(),
      component: { type: 'firmware', name: 'holdfast', version: String(version) },
    },
    components,
  }
  writeFileSync(file, `${JSON.stringify(bill, null, 1)}\n`)
}

/** npm writes `sha512-` and base64. */
function hashOf(integrity: string): { alg: string; content: string } {
  const [name = '', value = ''] = integrity.split(' ')[0]?.split('-') ?? []
  return { alg: name.toUpperCase().replace('SHA', 'SHA-'), content: Buffer.from(value, 'base64').toString('hex') }
}
