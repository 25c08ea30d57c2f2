import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { binary, end, freePort, identify, isAlive, until, type ProcessId } from './process';

/** A real registry (CNCF Distribution) without accounts, for tests that need a place to pull from. */
export interface LabRegistry {
  /** host:port as written in image references. */
  host: string;
  url: string;
  /** To end it from another process. */
  process: ProcessId;
  stop: () => Promise<void>;
}

/** Starts Distribution on `address` (default loopback, plain HTTP; engines trust 127.0.0.0/8). `tls` names PEM files. */
export async function startRegistry(options: { dir: string; address?: string; port?: number; tls?: { certFile: string; keyFile: string } }): Promise<LabRegistry> {
  const { dir, address = '127.0.0.1', tls } = options;
  mkdirSync(join(dir, 'blobs'), { recursive: true });
  const port = options.port ?? (await freePort(address));
  const config = {
    version: '0.1',
    log: { level: 'warn' },
    storage: { filesystem: { rootdirectory: join(dir, 'blobs') }, delete: { enabled: true }, maintenance: { uploadpurging: { enabled: false } } },
    http: { addr: `${address}:${port}`, secret: 'lab', ...(tls ? { tls: { certificate: tls.certFile, key: tls.keyFile } } : {}) },
  };
  writeFileSync(join(dir, 'registry.yml'), JSON.stringify(config)); // JSON is YAML
  const log = openSync(join(dir, 'registry.log'), 'a');
  const child = spawn(binary('docker-registry'), ['serve', join(dir, 'registry.yml')], { stdio: ['ignore', log, log], detached: true, env: { PATH: '/usr/bin:/bin' } });
  closeSync(log);
  child.unref();
  const id = child.pid === undefined ? null : identify(child.pid);
  if (!id) throw new Error('docker-registry did not start');
  const host = `${address}:${port}`;
  await until('the registry listens', 60, () => {
    if (!isAlive(id)) throw new Error(`docker-registry ended; see ${join(dir, 'registry.log')}`);
    return new Promise<boolean>((resolve) => {
      const socket = connect(port, address, () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
  });
  return {
    host,
    process: id,
    url: `${tls ? 'https' : 'http'}://${host}`,
    stop: async () => {
      await end(id);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
