import { triggersOf } from './image-triggers';

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;

/** An image whose manifest and configuration are these texts, under the digests `a` and `c`; further manifests by digest. */
const found = (manifest: string, config: string | null, more: Record<string, string> = {}): Promise<string[] | null> => {
  const manifests: Record<string, string> = { [digest('a')]: manifest, ...more };
  return triggersOf({
    manifestByDigest: async (wanted) => (manifests[wanted] === undefined ? null : { digest: wanted, mediaType: '', bytes: Buffer.from(manifests[wanted]) }),
    blob: async (wanted) => (wanted === digest('c') && config !== null ? Buffer.from(config) : null),
  }, digest('a'));
};
const image = JSON.stringify({ schemaVersion: 2, config: { digest: digest('c') } });
const index = (...digests: string[]): string => JSON.stringify({ schemaVersion: 2, manifests: digests.map((each) => ({ digest: each })) });

describe('triggersOf', () => {
  it.each([
    ['none', '{"config":{}}', []],
    ['no configuration of containers', '{"config":null}', []],
    ['null', '{"config":{"OnBuild":null}}', []],
    ['some', '{"config":{"OnBuild":["RUN a","ADD b /","RUN a"]}}', ['RUN a', 'ADD b /']],
  ])('finds %s', async (_what, config, triggers) => expect(await found(image, config)).toEqual(triggers));

  it('finds those of all platforms, which must be there', async () => {
    const config = '{"config":{"OnBuild":["RUN a"]}}';
    expect(await found(index(digest('b')), config, { [digest('b')]: image })).toEqual(['RUN a']);
    expect(await found(index(digest('b'), digest('d')), config, { [digest('b')]: image })).toBeNull();
  });

  it.each([
    ['another case', '{"config":{"onbuild":["ADD a /"]}}'], ['another case further out', '{"Config":{"OnBuild":["ADD a /"]}}'], ['a member twice', '{"config":{"OnBuild":["ADD a /"]},"config":{}}'],
    ['both cases', '{"config":{"OnBuild":[],"ONBUILD":["ADD a /"]}}'], ['no list', '{"config":{"OnBuild":"ADD a /"}}'], ['no texts', '{"config":{"OnBuild":[1]}}'], ['more behind it', '{"config":{}}{}'], ['no configuration', null],
  ])('can’t tell of %s', async (_what, config) => expect(await found(image, config)).toBeNull());

  it.each([
    ['an index that is an image too', JSON.stringify({ manifests: [], config: { digest: digest('c') } })], ['a manifest in another case', JSON.stringify({ Config: { digest: digest('c') } })], ['no manifest', '[]'],
    ['manifests that are no list', JSON.stringify({ manifests: {} })], ['too many platforms', index(...Array.from({ length: 65 }, () => digest('b')))],
  ])('can’t tell of %s', async (_what, manifest) => expect(await found(manifest, '{"config":{}}')).toBeNull());

  it('can’t tell of what is not there', async () => expect(await triggersOf({ manifestByDigest: async () => null, blob: async () => null }, digest('a'))).toBeNull());
});
