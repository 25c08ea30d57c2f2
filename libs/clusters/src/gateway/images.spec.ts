import { buildArgsOf, parseForeign } from './images';

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

describe('buildArgsOf', () => {
  it('reads arguments by name', () => {
    expect(buildArgsOf(`?buildargs=${encodeURIComponent('{"A":"1","B":null}')}`)).toEqual({ A: '1', B: null });
    expect(buildArgsOf('')).toEqual({});
  });
});
