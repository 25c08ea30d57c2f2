import { type Attempt, lines, v } from './book';

export const attempt: Attempt = {
  title: 'write the path in other case',
  source: 'CVE-2026-34040’s neighbours: routers that fold case behind a check that does not',
  try: (world) => lines(world, [`POST ${v}/Containers/create`, `POST ${v}/containers/Create`, `POST ${v}/CONTAINERS/CREATE`,
    `POST /V1.41/containers/create`, `post ${v}/containers/create`, `Post ${v}/containers/create`]),
};
