import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type Server } from 'node:tls';
import { makePki, savedImage, startEngine, startSshd, webImage, type LabEngine, type LabPki, type LabSshd, type Pem } from '../../../test/lab';
import { closeSshWays } from '../src';
import { describeEngineWay } from '../testing';

const image = 'web:1';
let dir: string;
let engine: LabEngine;
let sshd: LabSshd;
let pki: LabPki;
let client: Pem;
const fronts = new Map<string, { server: Server; port: number; sockets: Set<Socket> }>();

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gy-'));
  pki = await makePki();
  client = await pki.client('gantry');
  const own = await pki.server('engine', ['127.0.0.1']);
  [engine, sshd] = await Promise.all([startEngine({ dir: join(dir, 'e'), bridge: false, swarm: false }), startSshd({ dir: join(dir, 's'), settings: ['AllowTcpForwarding local', 'AllowStreamLocalForwarding local', 'MaxSessions 0'] })]);
  await engine.call('POST', '/v1.41/images/load', await savedImage(await webImage({ version: '1' }), image));
  for (const path of [engine.socketPath, join(dir, 'peer-TLS.sock')]) await front(path, own);
});

afterAll(async () => {
  closeSshWays();
  for (const { server, sockets } of fronts.values()) {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
  await sshd?.stop();
  await engine?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** Ends TLS as an engine would that listens by TCP, with client certificates demanded, in front of a socket. */
async function front(path: string, own: Pem): Promise<void> {
  const sockets = new Set<Socket>();
  const options = { cert: own.cert, key: own.key, ca: pki.ca, requestCert: true, rejectUnauthorized: true, allowHalfOpen: true };
  const server = createServer(options, (outer) => {
    const inner = connect({ path, allowHalfOpen: true });
    for (const [one, other] of [[outer, inner], [inner, outer]] as [Socket, Socket][]) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => [sockets.delete(one), other.destroySoon()]);
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  fronts.set(path, { server, port: (server.address() as AddressInfo).port, sockets });
}

const stage = (): { dir: string; engineSocket: string; image: string } => ({ dir, engineSocket: engine.socketPath, image });

describeEngineWay('socket', stage, () => ({ to: (path) => ({ kind: 'socket', path }) }));
describeEngineWay('TLS', stage, () => ({ to: (path) => ({ kind: 'tls', host: '127.0.0.1', port: fronts.get(path)!.port, ca: pki.ca, ...client }) }));
describeEngineWay('SSH', stage, () => ({ to: (path) => ({ kind: 'ssh', address: sshd.address(path), key: sshd.key, hostKey: sshd.hostKeys.ed25519 }) }));
