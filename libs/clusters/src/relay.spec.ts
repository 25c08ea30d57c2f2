import type { Config, Db, Outbox, Sealer } from '@gantry/platform';
import { Relay } from './relay';

describe('Relay', () => {
  it('listens anew after it could not', async () => {
    const listen = jest.fn<Promise<() => void>, []>().mockRejectedValueOnce(new Error('no database')).mockResolvedValue(() => undefined);
    const db = { listen, transaction: () => Promise.reject(new Error('listening')) } as unknown as Db;
    const relay = new Relay(db, {} as Outbox, {} as Sealer, { role: 'api' } as Config);
    const ask = (): Promise<unknown> => relay.connect({ kind: 'socket', path: '/none' }).call({ method: 'GET', path: '/_ping', signal: new AbortController().signal });
    await expect(ask()).rejects.toThrow('no database');
    await expect(ask()).rejects.toThrow('listening');
    await expect(ask()).rejects.toThrow('listening');
    expect(listen).toHaveBeenCalledTimes(2);
    await relay.onApplicationShutdown();
  });

  it('ends also where it never could listen', async () => {
    const db = { listen: () => Promise.reject(new Error('no database')) } as unknown as Db;
    const relay = new Relay(db, {} as Outbox, {} as Sealer, { role: 'api' } as Config);
    const asked = relay.connect({ kind: 'socket', path: '/none' }).call({ method: 'GET', path: '/_ping', signal: new AbortController().signal });
    const ended = relay.onApplicationShutdown();
    await expect(asked).rejects.toThrow('no database');
    await expect(ended).resolves.toBeUndefined();
  });
});
