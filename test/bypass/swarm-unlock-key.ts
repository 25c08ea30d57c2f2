import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'read the key that unlocks the swarm’s managers',
  source: 'CVE-2025-64423: an API gave the secret by which more is reached to whoever may look',
  try: (world) => each([`${v}/swarm/unlockkey`, '/swarm/unlockkey', '/v1.25/swarm/unlockkey', `${v}/swarm//unlockkey`],
    (path) => world.call('GET', path)),
};
