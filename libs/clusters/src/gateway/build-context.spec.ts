import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { extract, pack, type Header } from 'tar-stream';
import { judgedContext } from './build-context';

type Entry = Partial<Header> & { name: string; body?: string | Buffer };

async function archive(entries: Entry[]): Promise<Buffer> {
  const tar = pack();
  for (const { body, ...header } of entries) tar.entry(header, body ?? '');
  tar.finalize();
  return whole(tar as unknown as AsyncIterable<Buffer>);
}

async function whole(from: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of from) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function entriesOf(bytes: Buffer): Promise<{ header: Header; body: string }[]> {
  const found: { header: Header; body: string }[] = [];
  const tar = extract();
  const feeding = new Promise((resolve, reject) => tar.on('finish', () => resolve(null)).on('error', reject));
  tar.on('entry', (header, stream, next) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk) => chunks.push(chunk as Buffer)).on('end', () => {
      found.push({ header, body: Buffer.concat(chunks).toString() });
      next();
    });
  });
  tar.end(bytes);
  await feeding;
  return found;
}

const cut = (bytes: Buffer, size = 700): Readable => Readable.from(Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size)));
const rewrite = async (entries: Entry[] | Buffer, dockerfile = '', judge = (text: string): string => text.toUpperCase()): Promise<{ header: Header; body: string }[]> =>
  entriesOf(await whole(judgedContext(cut(Buffer.isBuffer(entries) ? entries : await archive(entries)), dockerfile, async (text) => judge(text)) as AsyncIterable<Buffer>));
const names = (entries: { header: Header }[]): string[] => entries.map(({ header }) => header.name);

describe('judgedContext', () => {
  it('lets files through and puts the judged Dockerfile last', async () => {
    const big = Buffer.alloc(300_000, 'x');
    const found = await rewrite([{ name: './', type: 'directory' }, { name: 'Dockerfile', body: 'from a' }, { name: './b/', type: 'directory', mode: 0o700 }, { name: '/b/big', body: big, mode: 0o751, uid: 3, gid: 4, mtime: new Date(86_400_000) },
      { name: 'l', type: 'symlink', linkname: 'b/big' }, { name: 'h', type: 'link', linkname: './b/big' }, { name: `${'long/'.repeat(40)}é`, body: 'x' }]);
    expect(names(found)).toEqual(['b/', 'b/big', 'l', 'h', `${'long/'.repeat(40)}é`, 'Dockerfile']);
    expect(found[1]).toMatchObject({ header: { mode: 0o751, uid: 3, gid: 4, mtime: new Date(86_400_000), size: big.length }, body: big.toString() });
    expect(found[2]!.header).toMatchObject({ type: 'symlink', linkname: 'b/big' });
    expect(found[3]!.header).toMatchObject({ type: 'link', linkname: 'b/big' });
    expect(found.at(-1)!.body).toBe('FROM A');
  });

  it('takes the one that the engine would take', async () => {
    const both = await rewrite([{ name: 'Dockerfile', body: 'one' }, { name: 'dockerfile', body: 'two' }, { name: './Dockerfile', body: 'three' }]);
    expect(both.map(({ header, body }) => [header.name, body])).toEqual([['dockerfile', 'two'], ['Dockerfile', 'THREE']]);
    expect((await rewrite([{ name: 'dockerfile', body: 'two' }])).map(({ header, body }) => [header.name, body])).toEqual([['dockerfile', 'two'], ['Dockerfile', 'TWO']]);
    expect((await rewrite([{ name: 'Dockerfile', body: 'one' }, { name: 'a/x.Dockerfile', body: 'two' }], './a/../a/x.Dockerfile'.replace('../a/', ''))).map(({ body }) => body)).toEqual(['one', 'TWO']);
  });

  it('has the last word where a link of the context makes another name of the Dockerfile’s', async () => {
    const found = await rewrite([{ name: 'dockerfile', body: 'one' }, { name: 'd', type: 'symlink', linkname: '.' }, { name: 'd/Dockerfile', body: 'two' }]);
    expect(found.map(({ header, body }) => [header.name, body])).toEqual([['d', ''], ['d/Dockerfile', 'two'], ['dockerfile', 'one'], ['Dockerfile', 'ONE']]);
  });

  it('unpacks gzip', async () => expect(names(await rewrite(gzipSync(await archive([{ name: 'Dockerfile', body: 'x' }]))))).toEqual(['Dockerfile']));

  it('leaves devices and what headers say besides behind', async () => {
    const found = await rewrite([{ name: 'd', type: 'block-device', devmajor: 8, devminor: 1 }, { name: 'a', body: 'x', pax: { 'GNU.sparse.name': 'Dockerfile', comment: 'x' } }, { name: 'Dockerfile', body: 'x' }]);
    expect(names(found)).toEqual(['a', 'Dockerfile']);
    expect(found[0]!.header.pax ?? null).toBeNull();
  });

  it.each<[string, Entry[], string?]>([
    ['no Dockerfile', [{ name: 'a', body: 'x' }]],
    ['a Dockerfile behind a link', [{ name: 'Dockerfile', type: 'symlink', linkname: 'a' }]],
    ['a Dockerfile in a folder behind a link', [{ name: 'a/D', body: 'x' }, { name: './a', type: 'symlink', linkname: '/etc' }], 'a/D'],
    ['a link to the Dockerfile', [{ name: 'Dockerfile', body: 'x' }, { name: 'a', type: 'link', linkname: './Dockerfile' }]],
    ['what lies outside', [{ name: 'Dockerfile', body: 'x' }, { name: 'a/../../x', body: 'x' }]],
    ['a Dockerfile outside', [{ name: 'Dockerfile', body: 'x' }], '../x'],
    ['a Dockerfile that is too long', [{ name: 'Dockerfile', body: Buffer.alloc(1024 * 1024 + 1) }]],
  ])('refuses %s', async (...[, entries, dockerfile]) => {
    await expect((async () => rewrite(entries, dockerfile))()).rejects.toMatchObject({ code: 'clusters.spec-invalid' });
  });

  it.each([['no archive', Buffer.alloc(2000, 'x')], ['half of one', null], ['broken gzip', Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.alloc(2000, 'x')])]])('refuses %s', async (_what, bytes) => {
    const given = bytes ?? (await archive([{ name: 'Dockerfile', body: Buffer.alloc(5000) }])).subarray(0, 3000);
    await expect(rewrite(given)).rejects.toMatchObject({ code: 'clusters.spec-invalid' });
  });

  it('never ends an archive whose Dockerfile is refused', async () => {
    const stream = judgedContext(cut(await archive([{ name: 'a', body: Buffer.alloc(100_000) }, { name: 'Dockerfile', body: 'x' }])), '', async () => Promise.reject(new Error('no')));
    let size = 0;
    await expect((async () => {
      for await (const chunk of stream as AsyncIterable<Buffer>) size += chunk.length;
    })()).rejects.toThrow();
    expect(size).toBeLessThanOrEqual(512 + 100_352);
  });
});
