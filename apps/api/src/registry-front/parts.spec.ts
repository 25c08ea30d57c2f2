import type { IncomingMessage } from 'node:http';
import { ClientView } from './client';
import { readLocation } from './relay';
import { readBasic } from './token-endpoint';

const request = (headers: Record<string, string>, remoteAddress = '10.0.0.9', encrypted = false): IncomingMessage => ({ headers, socket: { remoteAddress, encrypted } }) as unknown as IncomingMessage;

test('the origin is what the client wrote; a proxy’s word counts only where it is trusted', () => {
  const view = new ClientView(['10.0.0.0/8', 'fd00::1']);
  expect(view.origin(request({ host: 'registry.example:5000' }, '192.0.2.1'))).toBe('http://registry.example:5000');
  expect(view.origin(request({ host: '[::1]:5000' }, '192.0.2.1', true))).toBe('https://[::1]:5000');
  expect(view.origin(request({ host: 'r', 'x-forwarded-proto': 'https' }, '192.0.2.1'))).toBe('http://r');
  expect(view.origin(request({ host: 'r', 'x-forwarded-proto': 'https' }, '::ffff:10.1.2.3'))).toBe('https://r');
  for (const host of ['', 'a"b', 'a b', 'a/b', 'a@b', 'a:b', 'a,b', '-a', 'a:1234567']) expect(view.origin(request({ host }))).toBeNull();
});

test('the address is the last one that no trusted proxy vouches for', () => {
  const view = new ClientView(['10.0.0.0/8']);
  expect(view.address(request({ 'x-forwarded-for': '1.1.1.1, 198.51.100.7, 10.2.2.2' }))).toBe('198.51.100.7');
  expect(view.address(request({ 'x-forwarded-for': '1.1.1.1' }, '192.0.2.1'))).toBe('192.0.2.1');
  expect(view.address(request({ 'x-forwarded-for': 'unknown' }))).toBe('10.0.0.9');
  expect(() => new ClientView(['proxy.example'])).toThrow('GANTRY_TRUSTED_PROXIES');
});

test('Basic credentials', () => {
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
  expect(readBasic(basic('ann:pass:word ü'))).toEqual({ username: 'ann', password: 'pass:word ü' });
  for (const header of [undefined, '', 'Basic', 'Basic !', basic('nocolon'), basic(':x'), `Bearer ${'a'.repeat(10)}`]) expect(readBasic(header)).toBeNull();
});

test('locations stay on this listener and in the repository', () => {
  expect(readLocation({ location: 'http://127.0.0.1:41233/v2/acme/web/blobs/uploads/1?_state=x' }, 202, 'acme/web')).toBe('/v2/acme/web/blobs/uploads/1?_state=x');
  expect(readLocation({ location: '/v2/acme/web/blobs/sha256:1' }, 201, 'acme/web')).toBe('/v2/acme/web/blobs/sha256:1');
  expect(() => readLocation({ location: '/v2/other/web/blobs/uploads/1' }, 202, 'acme/web')).toThrow();
  expect(readLocation({ location: 'https://store.example/x?signature=1' }, 307, 'acme/web')).toBe('https://store.example/x?signature=1');
  expect(readLocation({}, 200, 'acme/web')).toBeNull();
});
