export default {
  extensions: ['ts'],
  files: ['test/**/*.test.ts'],
  timeout: '10m',
  concurrency: 2,
  workerThreads: false,
}
