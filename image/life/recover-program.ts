// The program that restores without any appliance, as it lies on a USB disk beside the archives: the runtime, the agent's
// `recover` with what it needs, and the two documents from which anybody could write another.
import { readdir, realpath } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { libraryFolders } from './library-folders.ts'
import type { Place } from './place.ts'

/** More than `recover` needs, and whole: paths stay as the code has them. */
export const RECOVER_FOLDERS = ['agent', 'appliance/protocol', 'appliance/archive', 'keystore/seal']
export const RECOVER_LIBRARIES = ['cbor2', 'commander', 'koffi', 'sodium-native']
const DOCUMENTS = [
  ['agent/format/FORMAT.md', 'FORMAT.md'],
  ['appliance/archive/FORMAT-archive.md', 'FORMAT-archive.md'],
] as const
const ANYBODY_RUNS = 0o755
const ANYBODY_READS = 0o644
/** What runs on no laptop. */
const NOT_RUN = /\/(node_modules|prebuilds\/(?!linux-x64)[^/]+|vendor|tests?)\/|\.(as\.ts|d\.[cm]?ts|map|cc|cpp|hh?)$/

/** A file of the program: from where, to which path below the export's folder. */
export type ProgramFile = { readonly from: string; readonly to: string }
export type ProgramText = { readonly to: string; readonly text: string; readonly mode: number }

/** Written by us, for people and for the shell. */
export const programTexts = (): readonly ProgramText[] => [
  { to: 'README.txt', text: README, mode: ANYBODY_READS },
  { to: 'holdfast-recover', text: LAUNCHER, mode: ANYBODY_RUNS },
]

/** All files of the program and the documents; it runs wherever they are, also where no file can be marked as a program. */
export async function programFiles(place: Place): Promise<ProgramFile[]> {
  const root = await realpath(place.program)
  const folders = [...RECOVER_FOLDERS.map(name => join(root, name)), ...(await libraryFolders(root, RECOVER_LIBRARIES))]
  const files = (await Promise.all(folders.map(filesBelow))).flat().map(from => ({ from, to: join('program', relative(root, from)) }))
  return [
    ...files,
    { from: join(root, 'package.json'), to: 'program/package.json' },
    { from: await realpath(process.execPath), to: 'program/bin/node' },
    ...DOCUMENTS.map(([from, to]) => ({ from: join(root, from), to })),
  ]
}

/** But those of a library's own libraries, and what is for other platforms or for compilers. */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .filter(path => !NOT_RUN.test(path.slice(folder.length)))
}

const README = `This disk has archives of a Holdfast appliance, and the program that restores them: on any 64-bit Linux
computer (x86-64), without the appliance and without a network. Archives are encrypted: the recovery file of
the user is needed ("holdfast key export").

    sh holdfast-recover --key-file FILE --to FOLDER

With more than one archive it lists them: then say which. Everything else:

    sh holdfast-recover --help

archives/ID/       one archive: the backups of one computer; SHA256SUMS in it is for sha256sum -c
export.json        whose they are, and when they were exported
FORMAT.md, FORMAT-archive.md   from these anybody can write another program that restores
`

const LAUNCHER = `#!/bin/sh
# Restores from the archives beside it, with the program beside it.
set -eu
umask 077
here=$(cd "$(dirname -- "$0")" && pwd)
program=$here/program
# Where the disk does not allow programs to be run, they are copied to the computer first.
if ! "$program/bin/node" --version >/dev/null 2>&1; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  cp -r "$program" "$scratch/program"
  program=$scratch/program
  chmod 700 "$program/bin/node"
fi
case " $* " in
  *" --archive"* | *" --help "* | *" -h "*) ;;
  *)
    only=
    for archive in "$here"/archives/*/; do
      if [ -n "$only" ]; then
        echo 'holdfast-recover: there is more than one archive; add one of these:' >&2
        for one in "$here"/archives/*/; do echo "  --archive $one   $(cat "$one/name.txt")" >&2; done
        exit 2
      fi
      only=$archive
    done
    set -- --archive "$only" "$@"
    ;;
esac
"$program/bin/node" "$program/agent/cli/main.ts" recover "$@"
`
