import type { AddressInfo } from 'node:net';
import type { EngineMatch, Passage, RawEngine } from '@gantry/clusters';
import { makeContext } from '@gantry/platform';
import { testLogger } from '@gantry/platform/testing';
import { makePki, type LabPki, type Pem } from '../../../../../test/lab/pki';
import { makeEngineServer, type EngineServer, type Gate, type Seen } from '../server';
import type { TransportLimits } from '../transport';

/** A gate for tests of the transport alone: it lets everything through that the table knows, as it came. */
export class OpenGate implements Gate {
  /** Who asked, in order. */
  readonly seen: Seen[] = [];
  /** What was let through, in order, with the statuses that came of it. */
  readonly passed: { name: string; body: string; status?: number | null }[] = [];
  /** Answers `stillAllowed`. */
  allowed: (match: EngineMatch) => boolean = () => true;
  /** Changes a passage before it goes. */
  adjust: (passage: Passage, match: EngineMatch) => Passage = (passage) => passage;
  token = 'open sesame';

  constructor(private readonly engine: RawEngine) {}

  identify(seen: Seen): ReturnType<Gate['identify']> {
    this.seen.push(seen);
    const known = seen.certificate !== null || seen.authorization === `Bearer ${this.token}`;
    return Promise.resolve(known ? makeContext({ kind: 'user', id: null, name: 'ann', admin: false, credentialId: null, limits: null }) : null);
  }

  decide(...[, match, request]: Parameters<Gate['decide']>): ReturnType<Gate['decide']> {
    const query = match.query.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
    const { row } = match;
    const entry: OpenGate['passed'][number] = { name: row.name, body: request.body.toString() };
    this.passed.push(entry);
    const auth = request.headers['x-registry-auth'];
    const passage: Passage = {
      method: row.method,
      target: `${match.versioned ? `/v1.${match.minor}` : ''}${match.path}${query === '' ? '' : `?${query}`}`,
      body: row.body.is === 'stream' ? 'stream' : row.body.is === 'json' && request.body.length > 0 ? request.body : null,
      headers: typeof auth === 'string' ? { 'x-registry-auth': auth } : {},
      connection: row.connection,
      filter: null,
      whole: null,
      stillAllowed: () => Promise.resolve(this.allowed(match)),
      ended: (status) => (entry.status = status),
    };
    return Promise.resolve({ engine: this.engine, passage: this.adjust(passage, match) });
  }
}

/** The listener on a loopback port, and who may call it. */
export interface TestGateway {
  server: EngineServer;
  port: number;
  gate: OpenGate;
  pki: LabPki;
  client: Pem;
  close: () => Promise<void>;
}

let identities: Promise<{ pki: LabPki; own: Pem; client: Pem }> | undefined;

async function makeIdentities(): Promise<{ pki: LabPki; own: Pem; client: Pem }> {
  const pki = await makePki();
  return { pki, own: await pki.server('gateway', ['localhost', '127.0.0.1']), client: await pki.client('ann') };
}

/** Starts the listener before an engine. All of one process have the same certificates. */
export async function startGateway(engine: RawEngine, limits: Partial<TransportLimits> = {}): Promise<TestGateway> {
  identities ??= makeIdentities();
  const { pki, own, client } = await identities;
  const gate = new OpenGate(engine);
  const server = makeEngineServer(gate, { ...own, clientCa: pki.ca }, testLogger(), limits);
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  return {
    server, gate, pki, client, port: (server.address() as AddressInfo).port,
    close: async () => {
      await new Promise((resolve) => server.close(resolve));
      engine.close();
    },
  };
}
