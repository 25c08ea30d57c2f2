import { type Attempt, each, service, v } from './book';

export const attempt: Attempt = {
  title: 'have the engine use credentials for a registry of the caller’s choice',
  source: 'headers with credentials that go on whatever the image is',
  async try(world) {
    const auth = Buffer.from(JSON.stringify({ username: 'a', password: 'b', serveraddress: 'http://127.0.0.1:1' })).toString('base64');
    const from = '/images/create?fromImage=127.0.0.1%3A1%2Fx%2Fy&tag=one';
    return [
      ...(await each([{ 'X-Registry-Auth': auth }, { 'X-Registry-Config': auth }, { 'X-Registry-Auth': 'e30=',
        Connection: 'close, X-Registry-Auth' }, { 'x-registry-auth': 'not base64 {' }], (headers: Record<string,
        string>) => world.call('POST', `${v}${from}`, undefined, headers))),
      await world.call('POST', `${v}/services/create`, service(world, { Image: '127.0.0.1:1/x/y:one' }), { 'X-Registry-Auth': auth }),
        await world.call('POST', `${v}/auth`, { username: 'a', password: 'b', serveraddress: world.registry }),
    ];
  },
};
