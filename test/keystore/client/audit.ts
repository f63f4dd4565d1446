// The keystore's own audit log, as a test reads it.
import { existsSync, readFileSync } from 'node:fs'
import type { Cluster } from '#keystore-server/cluster.ts'

/** Every line of every audit file of all nodes. */
export const auditedLines = ({ auditFiles }: Pick<Cluster, 'auditFiles'>): string[] =>
  auditFiles
    .filter(file => existsSync(file))
    .flatMap(file =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter(line => line !== ''),
    )
