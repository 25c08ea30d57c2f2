import { request, type ClientRequest, type OutgoingHttpHeaders } from 'node:http';
import { connect as connectSocket, isIP } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { EngineAgent } from './engine.agent';
import type { Endpoint } from './engine.client';
import { EngineLines, type OpenLine, type RawExchange, type WholeCall } from './engine.lines';
import { sshWay } from './ssh/link';

/** One request as it goes out: nothing is added but what HTTP itself needs. */
export interface RawCall {
  method: string;
  /** Path and query as they stand in the request line. */
  target: string;
  /** Sent as they are. Without `host`, the engine is called `docker`. */
  headers: OutgoingHttpHeaders;
  /** On a connection of its own, which is kept by nobody afterwards: for what is hijacked or upgraded. Default false. */
  fresh?: boolean;
}

/**
 * An engine as bytes: for who passes calls on rather than makes them. The request is not ended: the caller writes the body. Whatever opens a
 * two-way stream of bytes to an engine (a socket, TLS, a tunnel) makes one with `rawEngineOver`.
 */
export interface RawEngine {
  /** For messages to administrators, e.g. `unix:///var/run/docker.sock` or `https://10.0.0.1:2376`. */
  readonly address: string;
  request(call: RawCall): ClientRequest;
  /** As `request`, for a call whose body is there as a whole, and at less cost: over a kept connection, never one that is given away. */
  send(call: WholeCall): RawExchange;
  /** Ends the kept connections and keeps none any more. Calls under way go on. */
  close(): void;
}

/**
 * HTTP/1.1 over whatever `connect` opens. Must half-close: ending what is written leaves what is read open, and the other way round.
 * @param connect opens a new connection, which may read into the place that it is given; failures are the stream's `error`. What is no socket needs a socket's `setTimeout`, `setKeepAlive`, `ref` and `unref`
 */
export function rawEngineOver(address: string, connect: OpenLine): RawEngine {
  const agent = new EngineAgent(() => connect());
  const lines = new EngineLines(connect);
  return {
    address,
    send: (call) => lines.send(call),
    request: ({ method, target, headers, fresh }) => {
      // Without an agent, and on a connection of its own, Node reuses nothing.
      const made = request({ method, path: target, headers: { host: 'docker', ...headers }, setHost: false, ...(fresh ? { createConnection: () => connect() } : { agent }) });
      // A header `Connection: Upgrade` makes Node keep a connection that was not taken over, and nobody would ever use or end it.
      if (fresh) made.once('response', () => (made.shouldKeepAlive = false));
      return made;
    },
    close: () => {
      agent.destroyUnused();
      lines.destroyUnused();
    },
  };
}

/** The raw way to an engine; connects when it is asked. */
export function openEngine(endpoint: Endpoint): RawEngine {
  if (endpoint.kind === 'socket') return rawEngineOver(`unix://${endpoint.path}`, (onread) => connectSocket({ path: endpoint.path, allowHalfOpen: true, ...(onread && { onread }) }));
  if (endpoint.kind === 'ssh') {
    const way = sshWay(endpoint);
    return rawEngineOver(way.address, () => way.connect());
  }
  const { host, port, ca, cert, key } = endpoint;
  const options: ConnectionOptions & { allowHalfOpen: boolean } = {
    host, port, ca, cert, key, minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'], allowHalfOpen: true, ...(isIP(host) === 0 ? { servername: host } : {}),
  };
  return rawEngineOver(`https://${host.includes(':') ? `[${host}]` : host}:${port}`, (onread) => {
    const socket = connectTls({ ...options, ...(onread && { onread }) });
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 15_000);
    return socket;
  });
}
