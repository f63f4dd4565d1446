// Makes another release out of one that was built, in seconds: small files of the root are changed in place, the hashes made
// anew, and the UKI given the new root hash, its version, and the signatures of what the TPM may then expect. The appliance
// can't tell it from one that was built whole.
import { execFile } from 'node:child_process'
import { createHash, createPrivateKey, type KeyObject, sign } from 'node:crypto'
import { constants, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { publish, releaseNames } from '../../image/update/release.ts'

const run = promisify(execFile)

/** Text of a small file of the root that is there once, and what takes its place: as long. */
export type Patch = readonly [before: string, after: string]

export type BuiltRelease = {
  readonly version: number
  readonly root: string
  readonly verity: string
  readonly uki: string
  /** PEM files. */
  readonly pcrKey: string
  readonly updateKey: string
}

/**
 * @param version  of one digit, as the one that was built
 * @returns        the path of its bundle
 */
export async function patchedRelease(built: BuiltRelease, folder: string, version: number, patches: readonly Patch[] = []): Promise<string> {
  const names = releaseNames(version)
  mkdirSync(folder, { recursive: true })
  const [root, verity, uki] = [join(folder, names.root), join(folder, names.verity), join(folder, names.uki)]
  copyFileSync(built.root, root, constants.COPYFILE_FICLONE)
  await patchFile(root, [[`{"version":${built.version}`, `{"version":${version}`], ...patches])
  const salt = /^Salt:\s+([0-9a-f]+)$/m.exec((await run('veritysetup', ['dump', built.verity])).stdout)?.[1] ?? ''
  const blocks = /^Data blocks:\s+(\d+)$/m.exec((await run('veritysetup', ['dump', built.verity])).stdout)?.[1] ?? ''
  const { stdout } = await run('veritysetup', ['format', root, verity, `--salt=${salt}`, `--data-blocks=${blocks}`])
  const root_hash = /^Root hash:\s+([0-9a-f]{64})$/m.exec(stdout)?.[1] ?? ''
  writeFileSync(uki, patchedUki(readFileSync(built.uki), built.version, version, root_hash, createPrivateKey(readFileSync(built.pcrKey))))
  return publish(folder, version, createPrivateKey(readFileSync(built.updateKey)))
}

async function patchFile(path: string, patches: readonly Patch[]): Promise<void> {
  const content = readFileSync(path)
  const file = await open(path, 'r+')
  try {
    for (const [before, after] of patches) {
      const at = content.indexOf(before)
      if (at === -1 || Buffer.byteLength(before) !== Buffer.byteLength(after)) throw new Error(`not a patch of this root: ${before}`)
      await file.write(Buffer.from(after), 0, undefined, at)
    }
  } finally {
    await file.close()
  }
}

function patchedUki(built: Buffer, from: number, to: number, root_hash: string, pcrKey: KeyObject): Buffer {
  const uki = Buffer.from(built)
  const sections = sectionsOf(uki)
  const section = (name: string): Buffer => sections.get(name) ?? Buffer.alloc(0)
  const replace = (name: string, pattern: RegExp, text: string): void => {
    const before = section(name).toString('latin1')
    const after = before.replace(pattern, text)
    if (!pattern.test(before) || after.length !== before.length) throw new Error(`${name} of the UKI is not as expected`)
    section(name).write(after, 'latin1')
  }
  replace('.cmdline', /\broothash=[0-9a-f]{64}/, `roothash=${root_hash}`)
  if (from !== to) replace('.osrel', new RegExp(`IMAGE_VERSION="${from}"`), `IMAGE_VERSION="${to}"`)
  const signatures = section('.pcrsig')
  const text = resigned(signatures.toString('latin1'), sections, pcrKey)
  if (text.length !== signatures.length) throw new Error('.pcrsig of the UKI is not as expected')
  signatures.write(text, 'latin1')
  return uki
}

/** The sections of a program for UEFI by name, as parts of it. */
export function sectionsOf(program: Buffer): ReadonlyMap<string, Buffer> {
  const header = program.readUInt32LE(0x3c)
  const table = header + 24 + program.readUInt16LE(header + 20)
  return new Map(
    Array.from({ length: program.readUInt16LE(header + 6) }, (_, at) => {
      const row = program.subarray(table + at * 40, table + (at + 1) * 40)
      const begin = row.readUInt32LE(20)
      return [row.toString('latin1', 0, 8).replace(/\0.*$/s, ''), program.subarray(begin, begin + row.readUInt32LE(8))] as const
    }),
  )
}

/** In the order in which systemd-stub measures them into PCR 11. */
const MEASURED = ['.linux', '.osrel', '.cmdline', '.initrd', '.ucode', '.splash', '.dtb', '.uname', '.sbat', '.pcrpkey']
/** What systemd-pcrphase adds, in turn; there is a signature for each. */
const PHASES = ['enter-initrd', 'leave-initrd', 'sysinit', 'ready']
const sha256 = (...parts: readonly (Buffer | string)[]): Buffer => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest()

type Signature = { pcrs: number[]; pkfp: string; pol: string; sig: string }

function resigned(text: string, sections: ReadonlyMap<string, Buffer>, key: KeyObject): string {
  const known = JSON.parse(text) as { sha256: Signature[] }
  const policies = policiesOf(sections)
  return JSON.stringify({ sha256: known.sha256.map((one, at) => ({ ...one, ...signed(policies[at] ?? Buffer.alloc(0), key) })) })
    .replaceAll('":', '": ')
    .replaceAll(',"', ', "')
    .replaceAll('},{', '}, {')
}

const signed = (policy: Buffer, key: KeyObject) => ({ pol: policy.toString('hex'), sig: sign('sha256', policy, key).toString('base64') })

/** TPM 2.0 policies (PolicyPCR) for PCR 11 after each phase. */
export function policiesOf(sections: ReadonlyMap<string, Buffer>): Buffer[] {
  let pcr: Buffer = Buffer.alloc(32)
  const extend = (digest: Buffer): void => {
    pcr = sha256(pcr, digest)
  }
  for (const name of MEASURED) {
    const content = sections.get(name)
    if (!content) continue
    extend(sha256(`${name}\0`))
    extend(sha256(content))
  }
  const command = Buffer.from('0000017f', 'hex')
  const selection = Buffer.from('00000001000b03000800', 'hex')
  return PHASES.map(phase => {
    extend(sha256(phase))
    return sha256(Buffer.alloc(32), command, selection, sha256(pcr))
  })
}
