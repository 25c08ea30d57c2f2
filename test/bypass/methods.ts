import { type Attempt, lines, v } from './book';

export const attempt: Attempt = {
  title: 'use methods that the table does not have for a path',
  source: 'checks by method, and routers that take another for it',
  try: (world) =>
    lines(world, [...['PATCH', 'PUT', 'GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE', 'LIST', 'PROPFIND', 'QUERY', 'POSTS', 'POST\t', 'P', ''].map((method) => `${method} ${v}/containers/create`), ...world.foreign.flatMap(({ container: { id } }) => [`POST ${v}/containers/${id}/json`, `PUT ${v}/containers/${id}/json`, `OPTIONS ${v}/containers/${id}/json`, `TRACE ${v}/containers/${id}/json`])]),
};
