// Paths between people and the agent: inside, a path is a byte string, absolute without the leading slash.
import { resolve } from 'node:path'
import { bytePath as bytesOf, shownPath } from '#filesystem/system-path.ts'

/** What somebody typed, as a byte string: relative paths begin at the working directory; '' is the root. */
export const bytePath = (typed: string): string => bytesOf(resolve(typed))

/** A whole path for people, with its leading slash. */
export const displayPath = (path: string): string => `/${shownPath(path)}`
