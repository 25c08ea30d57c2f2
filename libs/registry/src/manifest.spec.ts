import { imageType, makeImage } from '../testing/images';
import { blobsOf, digestOf, manifestTypes, readManifest } from './manifest';

const indexType = manifestTypes[2]!;
const digest = `sha256:${'b'.repeat(64)}`;
const read = (document: unknown, type = imageType): ReturnType<typeof readManifest> => readManifest(type, Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)));
const plain = (): Record<string, unknown> => JSON.parse(makeImage('x').manifest.toString()) as Record<string, unknown>;

test('records digest, size and what it is', () => {
  const image = makeImage('x');
  expect(readManifest(`${imageType}; charset=utf-8`, image.manifest)).toEqual({
    digest: image.digest, mediaType: imageType, sizeBytes: image.manifest.length, contentBytes: image.blobs[0]!.length + image.blobs[1]!.length, subjectDigest: null,
    artifactType: 'application/vnd.oci.image.config.v1+json', configDigest: digestOf(image.blobs[0]!), annotations: null,
  });
  expect(blobsOf(image.manifest)).toEqual(image.blobs.map((blob) => digestOf(blob)));
});

test('a referrer has a subject, a type and annotations', () => {
  const referrer = makeImage('sig', { digest, size: 7, artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json' });
  expect(readManifest(imageType, referrer.manifest)).toMatchObject({ subjectDigest: digest, artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json', annotations: { label: 'sig' } });
});

test('an index names manifests', () => {
  const index = { schemaVersion: 2, mediaType: indexType, manifests: [{ mediaType: imageType, digest, size: 5, platform: { os: 'linux', architecture: 'amd64' } }] };
  expect(read(index, indexType)).toMatchObject({ mediaType: indexType, artifactType: null, configDigest: null, contentBytes: 0 });
  expect(blobsOf(Buffer.from(JSON.stringify(index)))).toEqual([]);
});

test.each([
  ['not JSON', '{', imageType],
  ['a list', [], imageType],
  ['no schemaVersion', { ...plain(), schemaVersion: 1 }, imageType],
  ['another media type inside', { ...plain(), mediaType: indexType }, imageType],
  ['an unknown media type', plain(), 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
  ['no config', { ...plain(), config: undefined }, imageType],
  ['no layers', { ...plain(), layers: undefined }, imageType],
  ['a layer without digest', { ...plain(), layers: [{ mediaType: 'x', size: 1 }] }, imageType],
  ['a sha512 digest', { ...plain(), layers: [{ mediaType: 'x', size: 1, digest: `sha512:${'a'.repeat(128)}` }] }, imageType],
  ['a size that is no size', { ...plain(), layers: [{ mediaType: 'x', size: -1, digest }] }, imageType],
  ['both config and manifests', { ...plain(), manifests: [] }, imageType],
  ['layers in an index', { schemaVersion: 2, manifests: [], layers: [] }, indexType],
  ['annotations that are no texts', { ...plain(), annotations: { a: 1 } }, imageType],
  ['a key that differs in case', { ...plain(), Subject: { digest, size: 1 } }, imageType],
  ['a key with a long s', { ...plain(), ſubject: { digest, size: 1 } }, imageType],
  ['a key that differs in case deeper', { ...plain(), config: { mediaType: 'x', Digest: digest, digest, size: 1 } }, imageType],
  ['a key twice', JSON.stringify(plain()).replace('"layers"', '"layers":[],"layers"'), imageType],
  ['trailing data', `${JSON.stringify(plain())}{}`, imageType],
])('refused: %s', (_what, document, type) => {
  expect(() => read(document, type)).toThrow(expect.objectContaining({ code: 'registry.manifest-invalid' }) as Error);
});

test('annotations may differ in case only, and mean what they say', () => {
  expect(read({ ...plain(), annotations: { label: 'a', Label: 'b' } })).toMatchObject({ annotations: { label: 'a', Label: 'b' } });
});

test('nothing that a parser could read in two ways', () => {
  const whole = JSON.stringify(plain());
  for (const text of ['"a":1,"a":2', '"a":1,"\\u0061":2', '"a":1e999', '"a":9007199254740993', '"a":[1,]', "'a':1", '"a":"\u0001"', `"a":${'['.repeat(40)}${']'.repeat(40)}`]) {
    expect(() => read(whole.replace('{', `{${text},`))).toThrow(expect.objectContaining({ code: 'registry.manifest-invalid', detail: expect.stringContaining('read') as string }) as Error);
  }
  for (const text of [`\ufeff${whole}`, `${whole} {}`]) expect(() => read(text)).toThrow(expect.objectContaining({ code: 'registry.manifest-invalid' }) as Error);
  expect(() => readManifest(imageType, Buffer.from([0x22, 0xff, 0x22]))).toThrow('not valid UTF-8');
});
