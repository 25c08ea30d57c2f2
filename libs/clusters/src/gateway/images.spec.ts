import { buildArgsOf, ownCredentials, parseForeign, queryValues, withQuery } from './images';

const host = 'reg:5000';
const digest = `sha256:${'a'.repeat(64)}`;

describe('parseForeign', () => {
  it.each([
    ['nginx', 'docker.io/library/nginx:latest', 'nginx'],
    ['nginx:1.2', 'docker.io/library/nginx:1.2', 'nginx'],
    ['library/nginx', 'docker.io/library/nginx:latest', 'nginx'],
    ['docker.io/nginx', 'docker.io/library/nginx:latest', 'nginx'],
    ['a/b', 'docker.io/a/b:latest', 'a/b'],
    ['quay.io/a/b/c:1', 'quay.io/a/b/c:1', 'quay.io/a/b/c'],
    ['localhost/a', 'localhost/a:latest', 'localhost/a'],
    ['other:5000/a', 'other:5000/a:latest', 'other:5000/a'],
    [`nginx:1@${digest}`, `docker.io/library/nginx@${digest}`, 'nginx'],
    ['sha256/x', 'docker.io/sha256/x:latest', 'sha256/x'],
  ])('writes %s out', (text, reference, repository) => expect(parseForeign(text, host)).toEqual({ reference, repository }));

  it.each(['', 'a'.repeat(64), 'cafe', '0123456789ab', 'cafe:latest', digest, 'sha256:abc', 'scratch', 'Nginx', 'A/b', 'reg:5000/a/b', 'reg:5000/a', 'index.docker.io/a/b', ' nginx', 'nginx ', 'nginx:', 'a//b', '../a', 'nginx@sha256:abc', 'http://a/b', `${'a'.repeat(401)}`])(
    'takes %j for none', (text) => expect(parseForeign(text, host)).toBeNull());
});

describe('queries', () => {
  it('get other values', () => {
    expect(withQuery('?a=1&b=2%20&a=3&c=', { a: 'x y', d: ['1', '2'], c: null })).toBe('?b=2%20&a=x%20y&d=1&d=2');
    expect(withQuery('', {})).toBe('');
    expect(queryValues('?t=a%3A1&t=b&tt=c', 't')).toEqual(['a:1', 'b']);
    expect(buildArgsOf(`?buildargs=${encodeURIComponent('{"A":"1","B":null}')}`)).toEqual({ A: '1', B: null });
    expect(buildArgsOf('')).toEqual({});
  });
});

describe('ownCredentials', () => {
  const header = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  it('keeps what signs in at our own registry', () => {
    expect(ownCredentials(header({ 'docker.io': { username: 'x' }, [host]: { username: 'ann', password: 'p', other: 'x', auth: 1 } }), host)).toEqual({ [host]: { username: 'ann', password: 'p' } });
    expect(ownCredentials(header({ [`https://${host}/v2/`]: { identitytoken: 't' } }), host)).toEqual({ [host]: { identitytoken: 't' } });
    expect(ownCredentials(header({ [`${host}.evil`]: { username: 'x' } }), host)).toEqual({});
  });
  it.each(['%', header([]), header('x'), header(null), 'e30', Buffer.from('{').toString('base64url')].filter((each) => each !== 'e30'))('refuses %j', (text) => expect(() => ownCredentials(text, host)).toThrow(expect.objectContaining({ code: 'clusters.spec-invalid' })));
});
