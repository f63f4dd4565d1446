// The authorized storage of the home that was named, closed again whatever happens.
import { existsSync } from 'node:fs'
import { type AuthorizedStorage, openAuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { lockHome } from '#authorized-storage/home-lock.ts'
import { fault } from '#site/errors.ts'

export async function withStorage<Result>(home: string, act: (storage: AuthorizedStorage) => Promise<Result>): Promise<Result> {
  const storage = await openAuthorizedStorage(home)
  try {
    return await act(storage)
  } finally {
    await storage.close()
  }
}

/** The same, while no other agent may change this home. @throws NOT_PAIRED if there is no home, HOME_BUSY */
export async function withLockedStorage<Result>(home: string, act: (storage: AuthorizedStorage) => Promise<Result>): Promise<Result> {
  if (!existsSync(home)) throw fault('NOT_PAIRED', { found: home })
  const unlock = await lockHome(home)
  try {
    return await withStorage(home, act)
  } finally {
    unlock()
  }
}
