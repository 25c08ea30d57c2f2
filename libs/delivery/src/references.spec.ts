import { Problem } from '@gantry/platform';
import { formatImageReference, matchesTag, parseImageReference, pinnedReference } from './references';

const host = 'registry.example.org:5000';
const digest = `sha256:${'a'.repeat(64)}`;
const parse = (text: string) => parseImageReference(text, host, '/images/web');

function code(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return error instanceof Problem ? error.code : String(error);
  }
  return 'nothing thrown';
}

describe('parseImageReference', () => {
  it.each([
    ['acme/web', { repository: 'acme/web', tag: 'latest', digest: null }],
    ['acme/web:1.2', { repository: 'acme/web', tag: '1.2', digest: null }],
    [`acme/web@${digest}`, { repository: 'acme/web', tag: null, digest }],
    [`acme/web:1.2@${digest}`, { repository: 'acme/web', tag: '1.2', digest }],
    [`${host}/acme/web:1.2`, { repository: 'acme/web', tag: '1.2', digest: null }],
    ['REGISTRY.example.org:5000/acme/web', { repository: 'acme/web', tag: 'latest', digest: null }],
  ])('reads %s', (text, expected) => {
    expect(parse(text)).toEqual(expected);
  });

  it.each(['nginx', 'nginx:1.27', 'docker.io/library/nginx', 'localhost/acme/web', 'registry.example.org/acme/web', 'ghcr.io:443/acme/web', 'quay.io/acme/web:1'])('refuses %s, which is elsewhere', (text) => {
    expect(code(() => parse(text))).toBe('delivery.image-foreign');
  });

  it.each(['', 'acme/Web', 'acme/web:', 'acme/web:-x', 'acme//web', '/web', 'acme/web@sha256:00', `acme/web@${digest}@${digest}`, 'acme/we b', `acme/${'x'.repeat(300)}`, 'acme/web\n'])('refuses %j, which is no reference', (text) => {
    expect(['delivery.image-invalid', 'delivery.image-foreign']).toContain(code(() => parse(text)));
  });

  it('names the field and the remedy', () => {
    expect(() => parse('nginx:1.27')).toThrow(/docker push/);
    try {
      parse('nginx');
    } catch (error) {
      expect((error as Problem).errors[0]?.pointer).toBe('/images/web');
    }
  });

  it('writes what it read', () => {
    for (const text of ['acme/web:1.2', `acme/web@${digest}`, `acme/web:1.2@${digest}`]) expect(formatImageReference(parse(text))).toBe(text);
    expect(pinnedReference(host, { repository: 'acme/web', digest })).toBe(`${host}/acme/web@${digest}`);
  });
});

describe('matchesTag', () => {
  it.each([
    ['1.2', '1.2', true], ['1.2', '1.20', false], ['1.2', '1x2', false],
    ['*', '', true], ['*', 'anything', true], ['v*', 'v1', true], ['v*', 'xv1', false], ['*-rc', '1-rc', true], ['*-rc', '1-rc1', false],
    ['1.*.0', '1.2.0', true], ['1.*.0', '1.0', false], ['a*b*c', 'a-b-c', true], ['a*b*c', 'acb', false], ['ab*bc', 'abc', false], ['**', 'x', true], ['*a*a*', 'a', false], ['*a*a*', 'aa', true],
  ])('%s on %s is %s', (pattern, tag, expected) => {
    expect(matchesTag(pattern, tag)).toBe(expected);
  });

  it('is quick on patterns that are slow elsewhere', () => {
    expect(matchesTag('*a'.repeat(60), `${'a'.repeat(127)}b`)).toBe(false);
  });
});
