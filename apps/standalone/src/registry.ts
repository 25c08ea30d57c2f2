import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { pickFreePort, tryPort } from './checks';
import type { Children } from './children';
import { StartError } from './start-error';
import { findProgram, registryProgram } from './system-packages';

/** Who mints the tokens that the registry believes (Distribution's `auth.token`). */
export interface RegistryAuth {
  realm: string;
  service: string;
  issuer: string;
  /** File with the PEM certificates of the signing keys. */
  rootCertBundle: string;
}

/** Where the registry behind Gantry's own listener is. */
export interface RunningRegistry {
  /** Loopback URL. */
  url: string;
  port: number;
}

/**
 * Distribution's configuration. Its listener is Gantry's alone; `relativeurls` keeps its loopback address out of the
 * answers that Gantry passes on.
 */
export function registryConfig(options: { port: number; data: string; httpSecret: string; auth: RegistryAuth }): string {
  return stringify({
    version: '0.1',
    log: { level: 'warn', accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory: options.data },
      delete: { enabled: true },
      cache: { blobdescriptor: 'inmemory' },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: { addr: `127.0.0.1:${options.port}`, relativeurls: true, secret: options.httpSecret },
    auth: {
      token: {
        realm: options.auth.realm,
        service: options.auth.service,
        issuer: options.auth.issuer,
        rootcertbundle: options.auth.rootCertBundle,
      },
    },
  });
}

/** Starts CNCF Distribution on a loopback port that is kept for the next start while it is free. Throws StartError when its binary is missing. */
export async function startRegistry(home: string, auth: RegistryAuth, path: string, children: Children, keptPorts: readonly number[] = []): Promise<RunningRegistry> {
  const file = findProgram(registryProgram.names, path);
  if (file === null) throw new StartError(`no ${registryProgram.program}: install the package ${registryProgram.debianPackage} or put "registry" on PATH`);
  const base = join(home, 'registry');
  const data = join(base, 'data');
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const config = join(base, 'config.yml');
  const previous = existsSync(join(base, 'port')) ? Number(readFileSync(join(base, 'port'), 'utf8')) : 0;
  await children.endOrphan(childSpec({ file, config, base }));
  const port = Number.isInteger(previous) && previous > 0 && !keptPorts.includes(previous) && (await tryPort(previous, '127.0.0.1')) === null ? previous : await pickFreePort(keptPorts);
  replaceFile(join(base, 'port'), `${port}\n`);
  const secretFile = join(base, 'http-secret');
  if (!existsSync(secretFile)) replaceFile(secretFile, randomBytes(32).toString('base64url'));
  replaceFile(config, registryConfig({ port, data, httpSecret: readFileSync(secretFile, 'utf8').trim(), auth }));
  const child = await children.start(childSpec({ file, config, base }));
  await children.waitReady(child, 20, async () => (await statusOf(port)) === 401);
  return { url: `http://127.0.0.1:${port}`, port };
}

function childSpec(place: { file: string; config: string; base: string }): Parameters<Children['start']>[0] {
  return {
    name: 'registry',
    file: place.file,
    args: ['serve', place.config],
    env: { PATH: '/usr/bin:/bin' }, // REGISTRY_* variables of the caller would override the file
    cwd: place.base,
    ownArgument: place.config,
    stop: { signal: 'SIGTERM', graceSeconds: 10 },
    adopt: false,
  };
}

function replaceFile(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

function statusOf(port: number): Promise<number> {
  return new Promise((resolve) => {
    const call = request({ host: '127.0.0.1', port, path: '/v2/', agent: false, timeout: 2000 }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    call.once('timeout', () => call.destroy());
    call.once('error', () => resolve(0));
    call.end();
  });
}
