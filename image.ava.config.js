// Tests in emulated machines: one at a time, because each takes the whole of this one.
export default {
  extensions: ['ts'],
  files: ['test/image/**/*.test.ts'],
  timeout: '20m',
  concurrency: 1,
  workerThreads: false,
}
