import { type Attempt, bare, lines, v } from './book';

export const attempt: Attempt = {
  title: 'use methods that the table does not have for a path',
  source: 'checks by method, and routers that take another for it',
  async try(world) {
    return [
      ...(await lines(world, ['PATCH', 'PUT', 'GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE', 'LIST', 'PROPFIND', 'QUERY', 'POSTS', 'POST\t',
        'P', ''].map((method) => `${method} ${v}/containers/create`))),
      ...(await bare(world, world.foreign.flatMap(({ container: { id } }) => ['POST', 'PUT', 'OPTIONS', 'TRACE', 'HEAD',
        'PATCH'].map((method) => `${method} ${v}/containers/${id}/json`)))),
    ];
  },
};
