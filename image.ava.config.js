// Tests in emulated machines: two at a time, of one processor each, on the two cores that such a machine has here; the files
// that take longest first.
const LONGEST = ['update', 'life', 'backup', 'setup', 'boot']
const rank = file => LONGEST.findIndex(name => file.endsWith(`${name}.test.ts`)) >>> 0

export default {
  extensions: ['ts'],
  files: ['test/image/**/*.test.ts'],
  timeout: '20m',
  concurrency: 2,
  workerThreads: false,
  sortTestFiles: (a, b) => rank(a) - rank(b),
}
