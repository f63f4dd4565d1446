// What is backed up: chosen at the first backup, kept in agent.json (no secrets), used by later ones.
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Static, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'

export const BackupSet = Type.Object({
  paths: Type.Array(Type.String({ maxLength: 4096 }), { minItems: 1, maxItems: 1000 }),
  excludes: Type.Array(Type.String({ maxLength: 4096 }), { maxItems: 10_000 }),
  one_file_system: Type.Boolean(),
})
export type BackupSet = Static<typeof BackupSet>

/**
 * The set for this run: the paths that were named, else those of the runs before.
 *
 * @throws BACKUP_SET_EMPTY, PATH_NOT_FOUND (only for paths that are named now: a vanished one is reported by the backup)
 */
export function chooseBackupSet(
  kept: BackupSet | undefined,
  paths: readonly string[],
  excludes: readonly string[],
  oneFileSystem: boolean | undefined,
): BackupSet {
  const named = paths.map(path => resolve(path))
  for (const path of named) if (!existsSync(path)) throw fault('PATH_NOT_FOUND', { found: path })
  const chosen = named.length > 0 ? named : (kept?.paths ?? [])
  if (chosen.length === 0) throw fault('BACKUP_SET_EMPTY')
  return {
    paths: chosen,
    excludes: excludes.length > 0 ? [...excludes] : (kept?.excludes ?? []),
    one_file_system: oneFileSystem ?? kept?.one_file_system ?? false,
  }
}
