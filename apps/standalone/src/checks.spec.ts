import { createServer } from 'node:net';
import { checkPorts, diskMessage, pickFreePort, portMessage } from './checks';

const wish = { port: 8080, address: '127.0.0.1', setting: 'GANTRY_HTTP_PORT' };

describe('portMessage', () => {
  it.each([
    ['EADDRINUSE', 'port 8080 (GANTRY_HTTP_PORT) is taken by another program; stop it or set GANTRY_HTTP_PORT'],
    ['EACCES', 'port 8080 (GANTRY_HTTP_PORT) needs root; set GANTRY_HTTP_PORT to another port above 1023'],
    ['EADDRNOTAVAIL', '127.0.0.1 (GANTRY_BIND) is no address of this machine; set GANTRY_BIND to one that is'],
  ])('%s names the setting to change', (code, message) => {
    expect(portMessage(wish, code)).toBe(message);
  });
});

describe('pickFreePort', () => {
  it('picks none that is kept for others', async () => {
    const asked: number[] = [];
    // Whatever is free is kept, but for what is asked about the third time.
    const kept = { includes: (port: number) => asked.push(port) < 3 } as unknown as readonly number[];
    expect(await pickFreePort(kept)).toBe(asked[2]);
    expect(asked).toHaveLength(3);
  });
});

describe('checkPorts', () => {
  it('blames the port that is taken, and passes again once it is free', async () => {
    const port = await pickFreePort();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    await expect(checkPorts([{ ...wish, port }])).rejects.toThrow(`port ${port} (GANTRY_HTTP_PORT) is taken`);
    await new Promise((resolve) => server.close(resolve));
    await expect(checkPorts([{ ...wish, port }])).resolves.toBeUndefined();
  });
});

describe('diskMessage', () => {
  it('speaks up below 1 GiB only', () => {
    expect(diskMessage('/var/lib/gantry', 1024 ** 3)).toBeNull();
    expect(diskMessage('/var/lib/gantry', 1024 ** 3 - 1)).toMatch(/^only 1023 MiB are free on the disk of \/var\/lib\/gantry \(GANTRY_HOME\)/);
  });
});
