// Starts a keystore in the folder that it is given, says the process id of its node, and stays until it is killed.
import { startCluster } from '#keystore-server/cluster.ts'

const { nodes } = await startCluster(process.argv[2] ?? '', { nodes: 1 })
process.stdout.write(`${nodes[0]?.pid}\n`)
setInterval(() => {}, 60_000)
