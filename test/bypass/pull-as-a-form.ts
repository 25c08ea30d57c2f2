import { type Attempt, v } from './book';

export const attempt: Attempt = {
  title: 'pull one image by the query, and another by a body that calls itself a form',
  source: 'Go reads parameters from forms ahead of those in the query',
  harmless: 'what is pulled is what the query names',
  async try(world) {
    const { signed, signedDigest, hidden } = world.images;
    const named = `${signed.slice(0, signed.lastIndexOf(':'))}@${signedDigest}`;
    return [await world.call('POST', `${v}/images/create?fromImage=${encodeURIComponent(named)}`, `fromImage=${encodeURIComponent(hidden)}`,
      { 'Content-Type': 'application/x-www-form-urlencoded', 'X-Registry-Auth': world.registryAuth })];
  },
};
