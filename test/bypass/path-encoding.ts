import { type Attempt, lines, v } from './book';

export const attempt: Attempt = {
  title: 'encode the path once, twice or wrongly',
  source: 'encoded slashes and letters that one side decodes and the other does not',
  try: (world) =>
    lines(world, [
      '/%63ontainers/create', '/containers%2Fcreate', '/containers%2fcreate', '/containers/%63reate', '/containers/creat%65',
        '%2Fcontainers%2Fcreate', '/%2563ontainers/create', '/containers%252Fcreate', '/containers/create%00', '/containers/create%20',
        '/containers/create%0d%0a', '/containers/create%3Fname=x', '/containers/create%23', '/%c0%afcontainers/create',
        '/containers/create%', '/containers/create%zz',
      '/containers/create%2e', '/containers/%2e%2e/containers/create', '/containers/x%2F..%2Fcreate',
        '/images/x%2F..%2F..%2Fcontainers/create', '/containers\\create', '/containers/create;x=1', '/containers;x/create',
        '/containers/cre\u00e4te', '/containers/create%EF%BC%8F',
    ].map((path) => `POST ${v}${path}`).concat([`POST /v1%2e41/containers/create`, `POST /%76 1.41/containers/create`,
      `POST /%761.41/containers/create`])),
};
