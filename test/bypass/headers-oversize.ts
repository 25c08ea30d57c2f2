import { type Attempt, headers } from './book';

export const attempt: Attempt = {
  title: 'send more headers than anybody reads',
  source: 'CVE-2026-34040’s class for headers: what is beyond a limit is dropped in silence',
  try: (world) => headers(world, [[`X: ${'a'.repeat(70_000)}`, 'Content-Length: <length>'], [...Array.from({ length: 2_000 }, (_,
    index) => `X-${index}: a`), 'Content-Length: <length>'], [...Array.from({ length: 150 }, () => 'X: a'), 'Content-Length: <length>'],
    [`${'X'.repeat(66_000)}: a`, 'Content-Length: <length>'], [`Cookie: ${'a=b; '.repeat(20_000)}`, 'Content-Length: <length>']]),
};
