export default {
  extensions: ['ts'],
  // Those that start a machine are for `npm run test:image` (image.ava.config.js).
  files: ['test/**/*.test.ts', '!test/image/**'],
  timeout: '10m',
  concurrency: 2,
  workerThreads: false,
}
