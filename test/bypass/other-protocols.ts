import { type Attempt, each, lines, v } from './book';

export const attempt: Attempt = {
  title: 'speak HTTP/0.9, 1.0, 2 or none at all',
  source: 'older and newer versions know other rules for bodies and connections',
  async try(world) {
    return [
      ...(await lines(world, [`POST ${v}/containers/create`], 'HTTP/1.0')), ...(await lines(world, [`POST ${v}/containers/create`],
        'HTTP/0.9')), ...(await lines(world, [`POST ${v}/containers/create`], 'HTTP/1.2')), ...(await lines(world,
        [`POST ${v}/containers/create`], 'HTTP/2.0')), ...(await lines(world, [`POST ${v}/containers/create`], 'http/1.1')),
        ...(await lines(world, [`POST ${v}/containers/create`], 'ICE/1.1')),
      ...(await each([`GET ${v}/containers/json\r\n`, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0',
        `GET ${v}/containers/json?all=1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`, '\r\n\r\n\0\0\0', `\x16\x03\x01\0\0`,
        'HTTP/1.1 200 OK\r\n\r\n', `{"Image":"x"}\r\n\r\n`], (text) => world.send(text, undefined, true))),
    ];
  },
};
