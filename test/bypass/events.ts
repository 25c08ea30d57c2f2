import { type Attempt, type Json, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'hear of others by the engine’s events',
  source: 'a stream of events that is filtered by what the client asks for',
  harmless: 'events are answered; those of others are cut out',
  async try(world) {
    const now = Math.floor(Date.now() / 1000);
    const query = (filters: Json): string => `/events?since=1&until=${now}&filters=${encodeURIComponent(JSON.stringify(filters))}`;
    return calls(world, [
      ['GET', `/events?since=1&until=${now}`], ...world.foreign.flatMap(({ container: thing, network,
        volume }) => [{ container: [thing.id] }, { container: [thing.name] }, { network: [network.id] },
        { volume: [volume] }].map((filters): Call => ['GET', query(filters)])),
      ...['container', 'network', 'volume', 'service', 'secret', 'config', 'node', 'image', 'daemon', 'plugin'].map((type): Call => ['GET',
        query({ type: [type] })]), ['GET', query({ event: ['create', 'start', 'exec_create', 'pull', 'tag'] })], ['GET',
        query({ scope: ['swarm', 'local'] })],
    ]);
  },
};
