import { startWorkers } from '#restore/worker-pool.ts'
import { createKeyRing } from '#format/keys.ts'
const p = () => console.log(process.resourceUsage().maxRSS/1024|0, process.memoryUsage.rss()>>20)
p()
const ring = createKeyRing()
const pool = await startWorkers(ring, { archive: '00112233445566778899aabbccddeeff', target: undefined, onConflict: 'rename', isResume: false })
p()
await pool.close()
p()
