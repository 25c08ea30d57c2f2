// The walls of the house (docs/architecture.md). Type-only imports count too. `npm run check` also plants a violation of each rule
// and fails if it goes unnoticed (scripts/check.mjs).
const order = ['platform', 'audit', 'access', 'registry', 'clusters', 'trust', 'delivery'];
const mayImport = {
  platform: [],
  audit: ['platform'],
  access: ['platform', 'audit'],
  registry: ['platform', 'audit', 'access'],
  clusters: ['platform', 'audit', 'access'],
  trust: ['platform', 'audit', 'access', 'registry', 'clusters'],
  delivery: ['platform', 'audit', 'access', 'registry', 'clusters', 'trust'],
};
module.exports = {
  forbidden: [
    { name: 'no-circular', comment: 'A cycle means that two files are one.', severity: 'error', from: { pathNot: 'node_modules' }, to: { circular: true, pathNot: 'node_modules' } },
    ...order.map((lib) => ({
      name: `direction-${lib}`,
      comment: `${lib} may import ${mayImport[lib].join(', ') || 'no other lib'}: platform <- audit <- access <- {registry, clusters} <- trust <- delivery.`,
      severity: 'error',
      from: { path: `^libs/${lib}/src/` },
      to: { path: '^(libs|apps|test|bench)/', pathNot: [`^libs/${lib}/`, ...mayImport[lib].map((other) => `^libs/${other}/src/index\\.ts$`)] },
    })),
    { name: 'only-through-index', comment: 'A lib is imported through its src/index.ts (or testing/index.ts by tests) and nothing else.', severity: 'error',
      from: { path: '^(apps|bench)/' }, to: { path: '^libs/[^/]+/', pathNot: ['^libs/[^/]+/src/index\\.ts$', '^libs/[^/]+/testing/', '^libs/platform/src/config\\.ts$'] } },
    { name: 'settings-alone', comment: 'The supervisor reads its settings before the libs are loaded, which takes longer than all else it does; everyone else takes them from the index.', severity: 'error',
      from: { path: '^(apps|bench)/', pathNot: '^apps/standalone/src/process\\.ts$' }, to: { path: '^libs/platform/src/config\\.ts$' } },
    { name: 'libs-not-apps', comment: 'Apps import libs, never the reverse.', severity: 'error', from: { path: '^libs/' }, to: { path: '^apps/' } },
    { name: 'migrations-alone', comment: 'A released migration must not change when a lib does.', severity: 'error', from: { path: '^migrations/' }, to: { path: '^(libs|apps|test)/' } },
    { name: 'no-http-in-libs', comment: 'Libs throw Problem; HTTP is the apps’ business.', severity: 'error', from: { path: '^libs/[^/]+/src/' }, to: { path: 'node_modules/(fastify|@nestjs/platform-fastify|express)' } },
    { name: 'no-test-code-in-product', comment: 'Product code does not import tests.', severity: 'error', from: { path: '^(apps|libs)/[^/]+/src/', pathNot: '(\\.spec\\.ts$|/test/)' }, to: { path: '(^test/|/test/|/testing/|\\.(spec|int|e2e)\\.ts$)' } },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^dist/|/fixtures/)' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.json'], exportsFields: ['exports'], conditionNames: ['import', 'require', 'node', 'default', 'types'] },
  },
};
