// Windows: the key is sealed by the Data Protection API to the account that the agent runs under. Loaded only there.
import { createRequire } from 'node:module'
import type koffiModule from 'koffi'
import sodium from 'sodium-native'
import { fault } from './errors.ts'
import type { Protector } from './protector.ts'

/** CRYPTPROTECT_UI_FORBIDDEN */
const FLAGS = 1

type Blob = { cbData: number; pbData: unknown }
type Dpapi = { readonly call: (name: 'protect' | 'unprotect', input: Buffer) => Buffer }

let loaded: Dpapi | undefined

function dpapi(): Dpapi {
  if (loaded) return loaded
  const koffi = createRequire(import.meta.url)('koffi') as typeof koffiModule
  const crypt32 = koffi.load('crypt32.dll')
  const kernel32 = koffi.load('kernel32.dll')
  koffi.struct('DATA_BLOB', { cbData: 'uint32', pbData: 'void*' })
  const signature = '(DATA_BLOB* input, void*, void*, void*, void*, uint32 flags, _Out_ DATA_BLOB* output)'
  const functions = {
    protect: crypt32.func(`int __stdcall CryptProtectData${signature}`),
    unprotect: crypt32.func(`int __stdcall CryptUnprotectData${signature}`),
  }
  const free = kernel32.func('void* __stdcall LocalFree(void*)')
  loaded = {
    call(name, input) {
      const output: Blob = { cbData: 0, pbData: null }
      if (functions[name]({ cbData: input.length, pbData: input }, null, null, null, null, FLAGS, output) === 0)
        throw fault('STORAGE_KEY_LOST', { found: `${name} refused by the system` })
      const bytes = Buffer.from(koffi.decode(output.pbData, koffi.array('uint8', output.cbData, 'Typed')) as Uint8Array)
      free(output.pbData)
      return bytes
    },
  }
  return loaded
}

export const windowsDpapi: Protector = {
  name: 'windows-dpapi',
  isHere: async () => process.platform === 'win32',
  protect: async key => dpapi().call('protect', key),
  async unprotect(kept) {
    const bytes = dpapi().call('unprotect', kept)
    const key = sodium.sodium_malloc(bytes.length)
    bytes.copy(key)
    bytes.fill(0)
    return key
  },
  forget: async () => {},
}
