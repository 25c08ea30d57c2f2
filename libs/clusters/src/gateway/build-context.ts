import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Gathered, Problem } from '@gantry/platform';
import { extract, pack, type Header } from 'tar-stream';
import { clustersProblem } from '../problems';
import { maxDockerfileBytes } from './dockerfile';

/** Entries that a build can use; what is none of these stays behind. */
const kept = new Set<Header['type']>(['file', 'contiguous-file', 'directory', 'symlink', 'link', 'fifo']);

/**
 * A build's context on its way to the engine, written anew. The Dockerfile is held back until all else has gone by and judged; then it is
 * the last entry, so that no other entry, link or spelling can put another one in its place. The engine begins when the archive is whole: one whose
 * Dockerfile is refused ends before that.
 * @param from a tar archive, plain or packed with gzip
 * @param dockerfile path of the Dockerfile as the call has it; empty: `Dockerfile`, or `dockerfile` where there is none
 * @param judge answers the Dockerfile as it is to be, or throws
 * @returns a stream of the archive; its error is a Problem
 */
export function judgedContext(from: Readable, dockerfile: string, judge: (text: string) => Promise<string>): Readable {
  return Readable.from(rewrite(from, dockerfilePaths(dockerfile), judge), { objectMode: false });
}

/** In which order the Dockerfile is looked for. @throws clusters.spec-invalid */
export function dockerfilePaths(dockerfile: string): string[] {
  const path = dockerfile === '' ? 'Dockerfile' : inside(dockerfile);
  if (path === null || path === '') throw clustersProblem('spec-invalid', { detail: 'The Dockerfile must lie in the build context.', errors: [{ pointer: '?dockerfile', detail: 'a path within the context' }] });
  return path === 'Dockerfile' ? ['Dockerfile', 'dockerfile'] : [path];
}

/** A header with nothing but what a file has. */
type Plain = Pick<Header, 'name' | 'type' | 'mode' | 'uid' | 'gid' | 'mtime' | 'size'>;

async function* rewrite(from: Readable, paths: readonly string[], judge: (text: string) => Promise<string>): AsyncGenerator<Buffer> {
  const reader = extract();
  const writer = pack();
  const held = new Map<string, { header: Plain; body: Buffer }>();
  const fail = (error: unknown): void => {
    const problem = error instanceof Problem ? error : clustersProblem('spec-invalid', { detail: 'The build context is no tar archive, plain or packed with gzip.', cause: error });
    writer.destroy(problem);
    reader.destroy();
  };
  reader.on('entry', (header, body, next) => {
    body.on('error', () => undefined); // the reader's own error
    try {
      const name = inside(header.name);
      if (name === null) throw clustersProblem('spec-invalid', { detail: `The build context has an entry outside of it: ${header.name.slice(0, 200)}.` });
      const isLink = header.type === 'symlink' || header.type === 'link';
      if (isLink && paths.some((path) => path === name || path.startsWith(`${name}/`))) throw clustersProblem('spec-invalid', { detail: 'The Dockerfile must be a plain file of the context, not behind a link.' });
      const isFile = header.type === 'file' || header.type === 'contiguous-file';
      if (name === '' || !kept.has(header.type)) {
        body.resume();
        body.on('end', next);
      } else if (isFile && paths.includes(name)) {
        hold(body, (bytes) => {
          held.set(name, { header: plainHeader(header, name), body: bytes });
          next();
        }, fail);
      } else if (isFile) {
        body.pipe(writer.entry(plainHeader(header, name), next));
      } else {
        const target = header.type === 'link' ? inside(header.linkname ?? '') : (header.linkname ?? '');
        if (target === null || paths.includes(target)) throw clustersProblem('spec-invalid', { detail: `The build context has a link that can’t be followed: ${header.name.slice(0, 200)}.` });
        body.resume();
        writer.entry({ ...plainHeader(header, header.type === 'directory' ? `${name}/` : name), size: 0, ...(isLink ? { linkname: target } : {}) }, next);
      }
    } catch (error) {
      fail(error);
    }
  });
  reader.on('error', fail);
  reader.on('finish', () => {
    const path = paths.find((each) => held.has(each));
    if (path === undefined) {
      fail(clustersProblem('spec-invalid', { detail: `The build context has no ${paths[0]}.` }));
      return;
    }
    const { header: meant, body: given } = held.get(path)!;
    judge(given.toString()).then((text) => {
      const asked = paths[0]!;
      held.delete(asked);
      for (const { header, body } of held.values()) writer.entry({ ...header, size: body.length }, body);
      // Last, under the name that the engine looks for first: it takes the place of whatever links have put there.
      writer.entry({ ...meant, name: asked, size: Buffer.byteLength(text) }, text);
      writer.finalize();
    }).catch(fail);
  });
  void feed(from, reader).catch(fail);
  try {
    yield* writer as unknown as AsyncIterable<Buffer>;
  } finally {
    reader.destroy();
    writer.destroy();
  }
}

/** Gives the archive to its reader, no faster than it takes it. What it comes from stays whole: an answer may still go out on the same connection. */
async function feed(from: Readable, reader: NodeJS.WritableStream & { destroyed?: boolean }): Promise<void> {
  let sink: NodeJS.WritableStream = reader;
  let begun = false;
  const give = async (chunk: Buffer): Promise<void> => {
    if (sink.write(chunk)) return;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        sink.off('drain', go).off('close', go).off('error', go);
        resolve();
      };
      sink.on('drain', go).on('close', go).on('error', go);
    });
  };
  let first = Buffer.alloc(0);
  for await (const chunk of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    if (reader.destroyed) return;
    if (begun) {
      await give(chunk);
      continue;
    }
    first = Buffer.concat([first, chunk]);
    if (first.length < 2) continue;
    begun = true;
    if (first[0] === 0x1f && first[1] === 0x8b) {
      const gunzip = createGunzip();
      gunzip.on('error', (error) => (reader as unknown as Readable).destroy(error));
      gunzip.pipe(reader);
      sink = gunzip;
    }
    await give(first);
  }
  sink.end();
}

function hold(body: { on(event: 'data', heard: (chunk: unknown) => void): unknown; on(event: 'end', heard: () => void): unknown }, done: (bytes: Buffer) => void, fail: (error: unknown) => void): void {
  const held = new Gathered();
  let size = 0;
  body.on('data', (chunk) => {
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size <= maxDockerfileBytes) held.add(bytes);
    else fail(clustersProblem('spec-invalid', { detail: `The Dockerfile is longer than ${maxDockerfileBytes} bytes.` }));
  });
  body.on('end', () => done(held.bytes));
}

/** A header with what a file has, and nothing by which readers of archives could be told another name, size or kind. */
function plainHeader({ type, mode, uid, gid, mtime, size }: Header, name: string): Plain {
  return { name, type: type === 'contiguous-file' ? 'file' : type, mode, uid, gid, mtime, size };
}

/** A path without its dots, or null where it leads out; empty for the context itself. */
function inside(name: string): string | null {
  if (name.includes('\0') || name.split('/').includes('..')) return null;
  const path = posix.normalize(`/${name}`).replace(/^\/+|\/+$/g, '');
  return path;
}
