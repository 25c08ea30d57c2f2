import { type Attempt, type Call, calls, spellings } from './book';

export const attempt: Attempt = {
  title: 'look at, change and remove secrets and configs of others',
  source: 'CVE-2025-22609: the private key of another team',
  try: (world) =>
    calls(world, world.foreign.flatMap(({ secret, config }) => [...spellings(secret).map((which) => `/secrets/${which}`),
      ...spellings(config).map((which) => `/configs/${which}`)]).flatMap((path): Call[] => [
      ['GET', path], ['POST', `${path}/update?version=1`, { Name: 'x', Labels: {} }], ['DELETE', path],
    ])),
};
