import { type Attempt, headers } from './book';

export const attempt: Attempt = {
  title: 'give two lengths of the body',
  source: 'request smuggling: the front believes one length, the back another',
  try: (world) => headers(world, [['Content-Length: 2', 'Content-Length: <length>'], ['Content-Length: <length>', 'Content-Length: 2'],
    ['Content-Length: <length>', 'Content-Length: <length>'], ['Content-Length: <length>, <length>'], ['Content-Length: 2, <length>'],
    ['Content-Length: <length>', 'content-length: 0'], ['Content-Length: <length> 2'], ['Content-Length: -1'], ['Content-Length: 1e3'],
    ['Content-Length: 0x10'], ['Content-Length: 99999999999999999999'], ['Content-Length: 18446744073709551617']]),
};
