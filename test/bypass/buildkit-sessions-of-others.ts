import { type Attempt, each, v } from './book';

/** As long as a session's name, and that of none. */
const unknown = '0'.repeat(24);

export const attempt: Attempt = {
  title: 'build from the session of somebody else',
  source: 'BuildKit finds sessions by ids alone: who knows one reads the other’s files and secrets through it',
  alike: true,
  async try(world) {
    const query = `version=2&remote=client-session&t=${encodeURIComponent(`${world.registry}/ann/stolen:one`)}`;
    return each([await world.foreignSession(), unknown], (session) => world.call('POST', `${v}/build?${query}&session=${session}`));
  },
};
