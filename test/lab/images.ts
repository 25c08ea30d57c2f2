import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { pack } from 'tar-stream';
import { binary } from './process';

/** What the image's program does. `ok`: serves a page on `port`; `exits`: writes a line and ends with 3; `unhealthy`: serves, but its healthcheck fails. */
export type Behaviour = 'ok' | 'exits' | 'unhealthy';

/** An image in memory: blobs by digest and the manifest that names them. */
export interface TestImage {
  digest: string;
  mediaType: string;
  manifest: Buffer;
  config: { digest: string; bytes: Buffer };
  layers: { digest: string; bytes: Buffer }[];
}

const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

interface Entry {
  name: string;
  type?: 'directory' | 'symlink';
  linkname?: string;
  mode?: number;
  body?: string | Buffer;
}

async function tar(entries: Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const { body, ...header } of entries) archive.entry({ mtime: new Date(0), mode: 0o755, ...header }, body ?? '');
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

let busybox: Promise<Buffer> | null = null;

/** A layer with a static busybox and what a container's root needs. */
function busyboxLayer(): Promise<Buffer> {
  busybox ??= tar([
    ...['bin', 'etc', 'tmp', 'www', 'proc', 'sys', 'dev', 'run'].map((name): Entry => ({ name, type: 'directory' })),
    { name: 'bin/busybox', body: readFileSync(binary('busybox')) },
    ...['sh', 'cat', 'echo', 'sleep', 'httpd', 'wget', 'ls', 'env', 'true', 'false', 'nslookup', 'hostname'].map((name): Entry => ({ name: `bin/${name}`, type: 'symlink', linkname: 'busybox' })),
    { name: 'etc/passwd', mode: 0o644, body: 'root:x:0:0:root:/:/bin/sh\n' },
    { name: 'etc/group', mode: 0o644, body: 'root:x:0:\n' },
  ]);
  return busybox;
}

/** Builds a tiny web image without any registry or engine. The page says `version`; it is served on port 8080. The same input gives the same digest. */
export async function webImage(options: { version: string; behaviour?: Behaviour }): Promise<TestImage> {
  const { version, behaviour = 'ok' } = options;
  const layers = [await busyboxLayer(), await tar([{ name: 'www/index.html', mode: 0o644, body: `${version}\n` }])].map((bytes) => ({ digest: sha256(bytes), bytes }));
  const serve = ['/bin/busybox', 'httpd', '-f', '-p', '8080', '-h', '/www'];
  const second = 1_000_000_000;
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      created: '1970-01-01T00:00:00Z',
      config: {
        Env: ['PATH=/bin', `VERSION=${version}`],
        // busybox httpd as pid 1 ignores SIGTERM; without this each stop would take the whole grace period.
        StopSignal: 'SIGKILL',
        Entrypoint: behaviour === 'exits' ? ['/bin/sh', '-c', `echo "${behaviour} ${version.replace(/[^\w.-]/g, '')}" >&2; exit 3`] : serve,
        ExposedPorts: { '8080/tcp': {} },
        ...(behaviour === 'unhealthy' ? { Healthcheck: { Test: ['CMD', '/bin/false'], Interval: second / 2, Timeout: second, Retries: 2 } } : {}),
      },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.digest) },
      history: layers.map(() => ({ created: '1970-01-01T00:00:00Z' })),
    }),
  );
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(config), size: config.length },
      layers: layers.map((layer) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layer.digest, size: layer.bytes.length })),
    }),
  );
  return { digest: sha256(manifest), mediaType, manifest, config: { digest: sha256(config), bytes: config }, layers };
}

/** Where to push to. `token` answers the bearer token for a repository, where the registry wants one; `ca` is PEM. */
export interface PushTarget {
  url: string;
  repository: string;
  /** Tag or digest of the manifest. */
  reference: string;
  token?: (repository: string) => Promise<string>;
  ca?: string;
}

/** Pushes an image by the OCI distribution protocol. */
export async function pushImage(image: TestImage, target: PushTarget): Promise<void> {
  const authorization = target.token ? { authorization: `Bearer ${await target.token(target.repository)}` } : {};
  const send = (method: string, url: URL, headers: Record<string, string>, body?: Buffer): Promise<{ status: number; location: string | undefined; text: string }> =>
    new Promise((resolve, reject) => {
      const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
      const sent = request(url, { method, headers: { ...authorization, 'content-length': String(body?.length ?? 0), ...headers }, agent: false, timeout: 120_000, ...(target.ca ? { ca: target.ca } : {}) }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, location: response.headers.location, text: Buffer.concat(chunks).toString() }));
      });
      sent.on('timeout', () => sent.destroy(new Error(`${method} ${url.pathname}: no answer in 120 s`)));
      sent.on('error', reject);
      sent.end(body);
    });
  const base = `${target.url}/v2/${target.repository}`;
  for (const blob of [...image.layers, image.config]) {
    const head = await send('HEAD', new URL(`${base}/blobs/${blob.digest}`), {});
    if (head.status === 200) continue;
    const begun = await send('POST', new URL(`${base}/blobs/uploads/`), {});
    if (begun.status !== 202 || !begun.location) throw new Error(`the registry begins no upload: ${begun.status} ${begun.text}`);
    const upload = new URL(begun.location, target.url);
    upload.searchParams.set('digest', blob.digest);
    const put = await send('PUT', upload, { 'content-type': 'application/octet-stream' }, blob.bytes);
    if (put.status !== 201) throw new Error(`the registry refused a blob: ${put.status} ${put.text}`);
  }
  const put = await send('PUT', new URL(`${base}/manifests/${target.reference}`), { 'content-type': image.mediaType }, image.manifest);
  if (put.status !== 201) throw new Error(`the registry refused the manifest: ${put.status} ${put.text}`);
}

/** The image as `docker load` takes it, tagged with `name`. */
export async function savedImage(image: TestImage, name: string): Promise<Buffer> {
  const file = (digest: string): string => `${digest.slice(7)}.tar`;
  return tar([
    { name: 'config.json', mode: 0o644, body: image.config.bytes },
    ...image.layers.map((layer): Entry => ({ name: file(layer.digest), mode: 0o644, body: layer.bytes })),
    { name: 'manifest.json', mode: 0o644, body: JSON.stringify([{ Config: 'config.json', RepoTags: [name], Layers: image.layers.map((layer) => file(layer.digest)) }]) },
  ]);
}
