// Names of users and groups by their numbers, from the system's own files, read once. Byte strings.
import { readFileSync } from 'node:fs'

let users: Map<number, string> | undefined
let groups: Map<number, string> | undefined

export const userNames = (): ReadonlyMap<number, string> => {
  users ??= readNames('/etc/passwd')
  return users
}
export const groupNames = (): ReadonlyMap<number, string> => {
  groups ??= readNames('/etc/group')
  return groups
}

/** Lines of the form name:password:number:… */
function readNames(file: string): Map<number, string> {
  const names = new Map<number, string>()
  try {
    for (const line of readFileSync(file, 'latin1').split('\n')) {
      const [name, , number] = line.split(':')
      if (name && number && /^\d+$/.test(number) && !names.has(Number(number))) names.set(Number(number), name)
    }
  } catch {
    // No such file here: numbers must do.
  }
  return names
}
