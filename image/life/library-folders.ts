// Which folders a program's libraries are: those that it names, and those that they need themselves.
import { readFile, realpath } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Check, Type } from '#protocol/typebox.js'

const Package = Type.Object({
  dependencies: Type.Optional(Type.Record(Type.String(), Type.String())),
  optionalDependencies: Type.Optional(Type.Record(Type.String(), Type.String())),
})

/** @param root  a folder with package.json and node_modules */
export async function libraryFolders(root: string, names: readonly string[]): Promise<Set<string>> {
  const found = new Set<string>()
  for (const name of names) await add(join(root, 'package.json'), name, found)
  return found
}

async function add(from: string, name: string, found: Set<string>): Promise<void> {
  const folder = await firstThere((createRequire(from).resolve.paths(name) ?? []).map(path => join(path, name)))
  // An optional one of another platform.
  if (folder === undefined || found.has(folder)) return
  found.add(folder)
  const described: unknown = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
  if (!Check(Package, described)) return
  for (const other of Object.keys({ ...described.dependencies, ...described.optionalDependencies })) await add(join(folder, 'package.json'), other, found)
}

async function firstThere(folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) {
    const there = await realpath(folder).catch(() => undefined)
    if (there !== undefined) return there
  }
  return undefined
}
