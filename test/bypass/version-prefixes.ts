import { type Attempt, lines } from './book';

export const attempt: Attempt = {
  title: 'ask in versions that do not exist, or in two at once',
  source: 'routers that take any version for a prefix, and rules that look for one',
  try: (world) => lines(world, ['/v1.999', '/v1.56', '/v0.1', '/v1.9', '/v1.23', '/v1', '/v2.0', '/v1.41.0', '/v01.41', '/v1.041',
    '/v1.41/v1.41', '/v1.41x', '/v1,41', '/v-1.41', '/v1.4l', '/v1.41%2f', '/v1.', '/v.41', '/v99999.99999', '/v1.41 ', '/version',
    '/api/v1.41', '/docker'].map((prefix) => `POST ${prefix}/containers/create`)),
};
