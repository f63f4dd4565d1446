// Programs of others that some tests compare with, and that not every machine has.
import { spawnSync } from 'node:child_process'

/** Whether it can be started. */
export const hasProgram = (name: string): boolean => spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined

/** What a title says when a test is skipped because a program is missing. */
export const needing = (title: string, program: string): string => `${title} (needs ${program})`
