import { type Attempt, lines, v } from './book';

export const attempt: Attempt = {
  title: 'make the request line longer than anybody reads',
  source: 'what is cut off is not checked',
  try: (world) => lines(world, [`POST ${v}/containers/create?name=${'a'.repeat(60_000)}`,
    `POST ${v}/containers/create?name=${'a'.repeat(100_000)}`, `POST ${v}/${'a/'.repeat(20_000)}../containers/create`,
    `POST ${v}/containers/create?${'name=a&'.repeat(2_000)}`, `GET ${v}/containers/${'a'.repeat(50_000)}/json`]),
};
