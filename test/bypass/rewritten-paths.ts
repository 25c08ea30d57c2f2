import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'say another path in headers',
  source: 'servers that take the path from `X-Original-URL` and `X-Rewrite-URL`',
  harmless: 'a ping is answered, and nothing else',
  try: (world) =>
    each(['X-Original-URL', 'X-Rewrite-URL', 'X-Forwarded-Uri', 'X-Forwarded-Prefix', 'X-Forwarded-Host', 'X-Forwarded-Path',
      'X-Envoy-Original-Path', 'Referer'], (name) => world.call('GET', '/_ping', undefined,
      { [name]: `${v}/containers/${world.foreign[0]!.container.id}/json` })),
};
