import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { makeTokenCertificate, tokenIssuer, tokenService } from '../src/token-signer';

/** A CNCF Distribution that believes one token key, as it stands behind Gantry. */
export interface TestDistribution {
  /** `http://127.0.0.1:<port>` */
  url: string;
  /** PEM files for `GANTRY_TOKEN_KEY_FILE` and `GANTRY_TOKEN_CERT_FILE`. */
  keyFile: string;
  certFile: string;
  /** Ends the process (SIGKILL) and keeps its data; `start` brings it back on the same port. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Ends the process and removes its data. */
  stop(): Promise<void>;
}

/** Path of Distribution's program (`docker-registry` of Debian, or `registry`). */
export function distributionProgram(): string {
  const folders = `${process.env['PATH'] ?? ''}${delimiter}/usr/bin`.split(delimiter);
  for (const name of ['docker-registry', 'registry']) for (const folder of folders) if (folder !== '' && existsSync(join(folder, name))) return join(folder, name);
  throw new Error('no CNCF Distribution: install the package docker-registry');
}

/** Starts Distribution on a free loopback port with token authentication and its data in a temporary folder. */
export async function startDistribution(): Promise<TestDistribution> {
  const home = await mkdtemp(join(tmpdir(), 'gantry-distribution-'));
  const { key, certificate } = await makeTokenCertificate();
  const keyFile = join(home, 'token.key');
  const certFile = join(home, 'token.crt');
  await writeFile(keyFile, key, { mode: 0o600 });
  await writeFile(certFile, certificate);
  const program = distributionProgram();
  const secret = randomBytes(16).toString('hex');
  let port = 0;
  let child: ReturnType<typeof spawn> | null = null;
  let ended: Promise<void> = Promise.resolve();
  const start = async (): Promise<void> => {
    const settings = {
      version: 0.1,
      log: { level: 'info', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(home, 'data') }, delete: { enabled: true }, cache: { blobdescriptor: 'inmemory' }, maintenance: { uploadpurging: { enabled: false } } },
      http: { addr: `127.0.0.1:${port}`, relativeurls: true, secret },
      auth: { token: { realm: 'http://127.0.0.1/auth/token', service: tokenService, issuer: tokenIssuer, rootcertbundle: certFile } },
    };
    await writeFile(join(home, 'config.yml'), JSON.stringify(settings)); // JSON is YAML
    const started = spawn(program, ['serve', join(home, 'config.yml')], { stdio: ['ignore', 'ignore', 'pipe'], env: { OTEL_TRACES_EXPORTER: 'none' } });
    child = started;
    ended = new Promise<void>((resolve) => started.once('exit', () => resolve()));
    const found = await new Promise<number | null>((resolve) => {
      started.once('error', () => resolve(null));
      const lines = createInterface({ input: started.stderr });
      lines.on('line', (line) => {
        const match = /listening on 127\.0\.0\.1:(\d+)/.exec(line);
        if (match?.[1] !== undefined) resolve(Number(match[1]));
      });
      lines.on('close', () => resolve(null));
    });
    if (found === null) throw new Error(`${program} ended before it listened`);
    port = found;
  };
  const kill = async (): Promise<void> => {
    child?.kill('SIGKILL');
    await ended;
  };
  const stop = async (): Promise<void> => {
    await kill();
    await rm(home, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `http://127.0.0.1:${port}`, keyFile, certFile, kill, start, stop };
}
