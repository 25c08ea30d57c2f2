import fc from 'fast-check';
import { isAttachmentTag, isDigest, isRepositoryName, isTag, parseRepositoryPath, signedDigest } from './reference';

const hex = 'a'.repeat(64);

test.each([
  ['acme/web', true],
  ['a', true],
  ['a/b/c', true],
  ['a-b__c.d/e---f', true],
  ['', false],
  ['/a', false],
  ['a/', false],
  ['a//b', false],
  ['A/b', false],
  ['a/../b', false],
  ['a/.b', false],
  ['a..b', false],
  ['a___b', false],
  ['a_-b', false],
  ['a b', false],
  ['a\n', false],
  ['ä', false],
  ['a'.repeat(255), true],
  ['a'.repeat(256), false],
])('repository name %j: %s', (text, expected) => expect(isRepositoryName(text)).toBe(expected));

test('a repository of ours has two components', () => {
  expect(parseRepositoryPath('acme/web')).toEqual({ namespace: 'acme', name: 'web' });
  for (const text of ['web', 'a/b/c', 'acme/', '../web', `${'a'.repeat(64)}/web`, `acme/${'a'.repeat(129)}`]) expect(parseRepositoryPath(text)).toBeNull();
});

test.each([['latest', true], ['_a', true], ['1.2-rc.1', true], ['a'.repeat(128), true], ['a'.repeat(129), false], ['', false], ['.a', false], ['-a', false], ['a/b', false], ['a:b', false], ['a\n', false], ['ä', false]])(
  'tag %j: %s', (text, expected) => expect(isTag(text)).toBe(expected));

test('digests are sha256, lower case, whole', () => {
  expect(isDigest(`sha256:${hex}`)).toBe(true);
  for (const text of [`sha256:${'A'.repeat(64)}`, `sha256:${hex}a`, `sha512:${hex}`, `sha256:${hex}\n`, hex]) expect(isDigest(text)).toBe(false);
});

test('tags that hold signatures', () => {
  expect(signedDigest(`sha256-${hex}.sig`)).toBe(`sha256:${hex}`);
  expect(signedDigest(`sha256-${hex}`)).toBe(`sha256:${hex}`);
  expect(signedDigest(`sha256-${hex}.att`)).toBeNull();
  expect(isAttachmentTag(`sha256-${hex}.att`)).toBe(true);
  expect(isAttachmentTag(`sha256-${hex}x`)).toBe(false);
  expect(isAttachmentTag('latest')).toBe(false);
});

// A grammar that backtracks would take longer than the universe on some of these: that it ends is the proof.
test('the grammar answers for long nasty names', () => {
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom('a', '-', '_', '.', '/'), maxLength: 300 }), (text) => {
    return typeof isRepositoryName(text) === 'boolean';
  }));
});
