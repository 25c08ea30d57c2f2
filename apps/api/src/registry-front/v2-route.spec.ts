import fc from 'fast-check';
import { readV2Route, type V2Route } from './v2-route';

const digest = `sha256:${'a'.repeat(64)}`;
const route = (method: string, url: string): V2Route | null => {
  const read = readV2Route(method, url);
  return 'route' in read ? read.route : null;
};
const refusal = (method: string, url: string): [number, string] | null => {
  const read = readV2Route(method, url);
  return 'refusal' in read ? [read.refusal.status, read.refusal.code] : null;
};

test('the paths of the specification', () => {
  expect(route('GET', '/v2/')).toEqual({ kind: 'ping' });
  expect(route('HEAD', '/v2')).toEqual({ kind: 'ping' });
  expect(route('GET', '/v2/_catalog?n=5&last=a/b')).toEqual({ kind: 'catalog', page: { limit: 5, last: 'a/b' } });
  expect(route('GET', '/v2/acme/web/tags/list')).toEqual({ kind: 'tags', name: 'acme/web', page: { limit: 1000, last: '' } });
  expect(route('PUT', '/v2/acme/web/manifests/1.0')).toEqual({ kind: 'manifest', name: 'acme/web', reference: '1.0' });
  expect(route('GET', `/v2/acme/web/manifests/${digest}`)).toEqual({ kind: 'manifest', name: 'acme/web', reference: digest });
  expect(route('GET', `/v2/acme/web/blobs/${digest.replace(':', '%3a')}`)).toEqual({ kind: 'blob', name: 'acme/web', digest });
  expect(route('GET', `/v2/acme/web/referrers/${digest}?artifactType=a%2Fb`)).toEqual({ kind: 'referrers', name: 'acme/web', digest, artifactType: 'a/b' });
  for (const url of ['/v2/acme/web/blobs/uploads/', '/v2/acme/web/blobs/uploads']) expect(route('POST', url)).toEqual({ kind: 'begin-upload', name: 'acme/web', digest: null, mount: null, from: null });
  expect(route('POST', `/v2/acme/web/blobs/uploads/?mount=${encodeURIComponent(digest)}&from=acme/base`)).toEqual({ kind: 'begin-upload', name: 'acme/web', digest: null, mount: digest, from: 'acme/base' });
  expect(route('PUT', `/v2/acme/web/blobs/uploads/0b1c-2?_state=ab-_=&digest=${digest}`)).toEqual({ kind: 'upload', name: 'acme/web', session: '0b1c-2', state: 'ab-_=', digest });
});

test('names that look like paths keep their meaning', () => {
  expect(route('GET', '/v2/tags/list/tags/list')).toEqual({ kind: 'tags', name: 'tags/list', page: { limit: 1000, last: '' } });
  expect(route('GET', '/v2/a/blobs/uploads/manifests/1')).toEqual({ kind: 'manifest', name: 'a/blobs/uploads', reference: '1' });
  expect(route('GET', '/v2/manifests/manifests/manifests')).toEqual({ kind: 'manifest', name: 'manifests', reference: 'manifests' });
});

test('a mount from nowhere is an ordinary upload', () => {
  expect(route('POST', `/v2/a/b/blobs/uploads/?mount=${digest}`)).toMatchObject({ mount: null, from: null });
  expect(route('POST', `/v2/a/b/blobs/uploads/?mount=${digest}&from=../../etc`)).toMatchObject({ mount: null, from: null });
});

test.each([
  ['/', 404], ['/v1/', 404], ['/v2/../v1/', 404], ['/v22/', 404], ['/V2/', 404], ['/v2/x', 404], ['/v2/a/b', 404], ['/v2/a/b/', 404], ['/v2//', 404],
  ['/v2/a/../b/tags/list', 400], ['/v2/a/./b/tags/list', 400], ['/v2/a//b/tags/list', 400], ['/v2/tags/list', 400], ['/v2/%2e%2e/tags/list', 404], ['/v2/a%2fb/tags/list', 404],
  ['/v2/a\\b/tags/list', 404], ['/v2/a/b;x/tags/list', 404], ['/v2/a/b/tags/list/', 404], ['/v2/A/b/tags/list', 400], ['/v2/a/b/manifests/', 400], ['/v2/a/b/manifests/.x', 400],
  ['/v2/a/b/manifests/sha512:abc', 400], [`/v2/a/b/manifests/${digest}0`, 400], ['/v2/a/b/blobs/latest', 400], ['/v2/a/b/blobs/sha256:x', 400], ['/v2/a/b/tags/list?n=-1', 400],
  ['/v2/a/b/tags/list?n=1&n=2', 400], ['/v2/a/b/tags/list?last=%00', 400], ['/v2/a/b/tags/list?last=%ff', 400], ['/v2/a/b/blobs/uploads/..', 404], ['/v2/a/b/blobs/uploads/.x', 404],
  ['http://evil/v2/', 404], ['/v2/a/b/tags/list#x', 404], ['/v2/a/b\r\n/tags/list', 404], ['*', 404], ['', 404], [`/v2/${'a'.repeat(9000)}/tags/list`, 414], [`/v2/${'a/'.repeat(200)}b/tags/list`, 400],
  ['/v2/a/b/blobs/uploads/x?_state=%2F..', 400], ['/auth/token/../../v2/', 404],
])('refused: %j', (url, status) => expect(refusal('GET', url)?.[0]).toBe(status));

test('only the methods that a path has', () => {
  for (const [method, url] of [['POST', '/v2/'], ['PUT', '/v2/a/b/tags/list'], ['POST', '/v2/a/b/manifests/1'], ['PUT', `/v2/a/b/blobs/${digest}`], ['GET', '/v2/a/b/blobs/uploads/'], ['TRACE', '/v2/'], ['', '/v2/']] as const) {
    expect(refusal(method, url)).toEqual([405, 'UNSUPPORTED']);
  }
});

test('whatever comes, a route holds checked parts only', () => {
  const piece = fc.constantFrom('a', 'b', '..', '.', '', '%2f', '%3A', 'tags', 'list', 'manifests', 'blobs', 'uploads', 'referrers', '_catalog', digest, '?', '&', 'n=1', 'digest=', 'from=', ':', '@');
  fc.assert(
    fc.property(fc.constantFrom('GET', 'PUT', 'POST'), fc.array(piece, { maxLength: 12 }), (method, pieces) => {
      const read = route(method, `/v2/${pieces.join('/')}`);
      if (read && 'name' in read) expect(read.name).toMatch(/^[a-z0-9]+([._/-]+[a-z0-9]+)*$/);
      if (read && 'name' in read) expect(read.name.split('/')).not.toContain('..');
    }),
    { numRuns: 2000 },
  );
});
