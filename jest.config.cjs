// One Jest run, four projects. Nest 12 and some of its dependencies are pure ES modules, which Jest on
// Node 20 can't `require`; they go through swc like our own source (see docs/decisions/0001-stack.md).
const swcrc = JSON.parse(require('node:fs').readFileSync(`${__dirname}/.swcrc`, 'utf8'));
delete swcrc.exclude;
delete swcrc.jsc.paths;
delete swcrc.jsc.baseUrl;
const js = { module: { type: 'commonjs' }, jsc: { target: 'es2022', parser: { syntax: 'ecmascript' } }, swcrc: false };
const base = {
  testEnvironment: 'node',
  rootDir: __dirname,
  transform: {
    '^.+\\.ts$': ['@swc/jest', { ...swcrc, swcrc: false, sourceMaps: 'inline' }],
    '^.+\\.m?js$': ['@swc/jest', js],
  },
  transformIgnorePatterns: [
    '/node_modules/(?!(@nestjs|file-type|strtok3|token-types|uint8array-extras|@tokenizer|@borewit|jose|ldapts|@peculiar|cookie|content-disposition)/)',
  ],
  moduleNameMapper: {
    '^@gantry/(\\w+)$': '<rootDir>/libs/$1/src/index.ts',
    '^@gantry/platform/config$': '<rootDir>/libs/platform/src/config.ts',
    '^@gantry/(\\w+)/testing$': '<rootDir>/libs/$1/testing/index.ts',
    '^(\\.{1,2}/.*)\\.js$': ['$1', '$1.js'],
  },
  setupFiles: ['reflect-metadata'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
};
module.exports = {
  testTimeout: 60_000,
  projects: [
    { ...base, displayName: 'unit', roots: ['<rootDir>/libs', '<rootDir>/apps'], testRegex: '\\.spec\\.ts$' },
    { ...base, displayName: 'int', roots: ['<rootDir>/libs'], testRegex: '/test/.*\\.int\\.ts$', globalSetup: '<rootDir>/test/global-setup.ts', globalTeardown: '<rootDir>/test/global-teardown.ts', setupFilesAfterEnv: ['<rootDir>/test/timeout.ts'] },
    { ...base, displayName: 'guard', roots: ['<rootDir>/apps'], testRegex: '/test/.*\\.guard\\.ts$', globalSetup: '<rootDir>/test/global-setup.ts', globalTeardown: '<rootDir>/test/global-teardown.ts', setupFilesAfterEnv: ['<rootDir>/test/timeout.ts'] },
    { ...base, displayName: 'e2e', roots: ['<rootDir>/test/e2e'], testRegex: '\\.e2e\\.ts$', globalSetup: '<rootDir>/test/global-setup.ts', globalTeardown: '<rootDir>/test/global-teardown.ts', setupFilesAfterEnv: ['<rootDir>/test/timeout.ts'] },
  ],
};
