import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'read the swarm’s join tokens',
  source: 'CVE-2025-64423 and CVE-2018-19466: secrets that an API gave to whoever may look',
  harmless: 'what a swarm says of itself comes without its tokens',
  try: (world) => each(['/swarm', '/swarm?', '/info', '/version'], (path) => world.call('GET', `${v}${path}`)),
};
