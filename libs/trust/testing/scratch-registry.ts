import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { sha256Digest } from '../src/formats/evidence';
import type { EvidenceSource, RawManifest, Referrer } from '../src/formats/evidence';
import type { Pushable } from '../src/formats/sign';

/** A CNCF Distribution of our own, on a free loopback port, with its data in a temporary folder. */
export interface ScratchRegistry {
  /** `127.0.0.1:<port>` */
  host: string;
  /** Ends the process and removes its data. */
  stop(): Promise<void>;
}

/** Starts Distribution from this program and waits until it listens. */
export async function startScratchRegistry(program: string): Promise<ScratchRegistry> {
  const home = await mkdtemp(join(tmpdir(), 'gantry-registry-'));
  const settings = {
    version: 0.1,
    log: { level: 'info', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(home, 'data') }, delete: { enabled: true } },
    http: { addr: '127.0.0.1:0' },
  };
  // JSON is YAML.
  await writeFile(join(home, 'config.yml'), JSON.stringify(settings));
  const child = spawn(program, ['serve', join(home, 'config.yml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { OTEL_TRACES_EXPORTER: 'none' },
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
    await rm(home, { recursive: true, force: true });
  };
  const host = await new Promise<string | null>((resolve) => {
    child.once('error', () => resolve(null));
    const lines = createInterface({ input: child.stderr });
    lines.on('line', (line) => {
      const match = /listening on (127\.0\.0\.1:\d+)/.exec(line);
      if (match?.[1] !== undefined) resolve(match[1]);
    });
    lines.on('close', () => resolve(null));
  });
  if (host === null) {
    await stop();
    throw new Error(`${program} ended before it listened`);
  }
  return { host, stop };
}

/** One repository of a registry over plain HTTP: reads evidence and pushes what signers write. */
export class RegistryRepository implements EvidenceSource {
  constructor(
    readonly host: string,
    readonly name: string,
  ) {}

  async manifestByTag(tag: string): Promise<RawManifest | null> {
    return this.manifest(tag);
  }

  async manifestByDigest(digest: string): Promise<RawManifest | null> {
    return this.manifest(digest);
  }

  async blob(digest: string, maxBytes: number): Promise<Buffer | null> {
    const response = await this.get(`blobs/${digest}`);
    if (response === null) return null;
    const bytes = Buffer.from(await response.arrayBuffer());
    return bytes.length > maxBytes ? null : bytes;
  }

  async referrers(subject: string): Promise<Referrer[]> {
    const response = await this.get(`referrers/${subject}`);
    if (response === null) return [];
    const { manifests } = (await response.json()) as { manifests: { digest: string; mediaType: string; artifactType?: string }[] };
    return manifests.map((entry) => ({ digest: entry.digest, mediaType: entry.mediaType, artifactType: entry.artifactType ?? null }));
  }

  /** All tags of the repository, signatures included. */
  async tags(): Promise<string[]> {
    const response = await this.get('tags/list');
    return response === null ? [] : (((await response.json()) as { tags: string[] | null }).tags ?? []);
  }

  /** Pushes a blob; answers its digest. */
  async pushBlob(bytes: Buffer): Promise<string> {
    const digest = sha256Digest(bytes);
    const begun = await fetch(this.url('blobs/uploads/'), { method: 'POST' });
    const location = new URL(begun.headers.get('location') ?? '', this.url(''));
    location.searchParams.set('digest', digest);
    await expectStatus(
      201,
      await fetch(location, { method: 'PUT', body: new Uint8Array(bytes), headers: { 'content-type': 'application/octet-stream' } }),
    );
    return digest;
  }

  /** Pushes a manifest under a tag, or by its own digest; answers the digest. */
  async pushManifest(mediaType: string, bytes: Buffer, tag: string | null = null): Promise<string> {
    const digest = sha256Digest(bytes);
    const url = this.url(`manifests/${tag ?? digest}`);
    await expectStatus(201, await fetch(url, { method: 'PUT', body: new Uint8Array(bytes), headers: { 'content-type': mediaType } }));
    return digest;
  }

  /** Pushes what a signer made. */
  async push(pushable: Pushable): Promise<void> {
    for (const blob of pushable.blobs) await this.pushBlob(blob.bytes);
    await this.pushManifest(pushable.manifest.mediaType, pushable.manifest.bytes, pushable.tag);
  }

  /** Deletes a manifest by digest. */
  async deleteManifest(digest: string): Promise<void> {
    await expectStatus(202, await fetch(this.url(`manifests/${digest}`), { method: 'DELETE' }));
  }

  private async manifest(reference: string): Promise<RawManifest | null> {
    const response = await this.get(`manifests/${reference}`);
    if (response === null) return null;
    const bytes = Buffer.from(await response.arrayBuffer());
    return { digest: sha256Digest(bytes), mediaType: response.headers.get('content-type') ?? '', bytes };
  }

  private async get(path: string): Promise<Response | null> {
    const accept = ['application/vnd.oci.image.manifest.v1+json', 'application/vnd.oci.image.index.v1+json', '*/*'].join(', ');
    const response = await fetch(this.url(path), { headers: { accept } });
    if (response.status === 404) return null;
    await expectStatus(200, response);
    return response;
  }

  private url(path: string): string {
    return `http://${this.host}/v2/${this.name}/${path}`;
  }
}

async function expectStatus(status: number, response: Response): Promise<void> {
  if (response.status !== status) throw new Error(`${response.url}: ${response.status} instead of ${status}: ${await response.text()}`);
}

/** What a test image is. */
export interface TestImage {
  digest: string;
  mediaType: string;
  sizeBytes: number;
  bytes: Buffer;
}

/** Pushes a one-layer OCI image that is different for every `label`, under `tag`. It can be signed, not run. */
export async function pushTestImage(repository: RegistryRepository, label: string, tag: string): Promise<TestImage> {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  // An empty tar, and the label as a second, unknown member of the configuration.
  const layer = Buffer.alloc(1024);
  const rootfs = { type: 'layers', diff_ids: [sha256Digest(layer)] };
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: { Labels: { 'test.label': label } }, rootfs }));
  await repository.pushBlob(layer);
  await repository.pushBlob(config);
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256Digest(config), size: config.length },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: sha256Digest(layer), size: layer.length }],
    }),
  );
  return { digest: await repository.pushManifest(mediaType, bytes, tag), mediaType, sizeBytes: bytes.length, bytes };
}
