// The typed rules that oxlint does not have, and the bans that keep the house safe. Run after oxlint.
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import tseslint from 'typescript-eslint';

const noShell = [
  { selector: "CallExpression[callee.name=/^(exec|execSync)$/]", message: 'No shell strings: spawn(file, argv).' },
  { selector: "Property[key.name='shell'][value.value!=false]", message: 'No shell: spawn(file, argv).' },
  { selector: "CallExpression[callee.object.name=/^(child_process|cp)$/][callee.property.name=/^exec(Sync)?$/]", message: 'No shell strings: spawn(file, argv).' },
];
const noEnv = { selector: "MemberExpression[object.name='process'][property.name='env']", message: 'Only platform/config reads the environment.' };
const noSleep = [
  { selector: "CallExpression[callee.name='setTimeout']", message: 'Tests wait for a condition with a deadline (eventually), not for time.' },
];

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', 'coverage/**', '**/fixtures/**', '**/*.d.ts'] },
  {
    files: ['apps/**/*.ts', 'libs/**/*.ts', 'migrations/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts'],
    languageOptions: { parser: tseslint.parser, parserOptions: { projectService: true, tsconfigRootDir: dirname(fileURLToPath(import.meta.url)) } },
    plugins: { '@typescript-eslint': tseslint.plugin },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-unnecessary-type-assertion': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' }],
      'no-restricted-syntax': ['error', ...noShell],
    },
  },
  { files: ['libs/*/src/**/*.ts', 'apps/api/src/**/*.ts', 'apps/worker/src/**/*.ts'], ignores: ['libs/platform/src/config.ts'], rules: { 'no-restricted-syntax': ['error', ...noShell, noEnv] } },
  { files: ['**/*.spec.ts', '**/*.int.ts', '**/*.guard.ts', '**/*.e2e.ts'], rules: { 'no-restricted-syntax': ['error', ...noShell, ...noSleep] } },
);
