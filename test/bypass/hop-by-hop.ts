import { type Attempt, headers } from './book';

export const attempt: Attempt = {
  title: 'have headers dropped on the way by naming them in `Connection`',
  source: 'hop-by-hop headers: what the front drops, the back never sees',
  try: (world) => headers(world, [['Connection: Content-Length', 'Content-Length: <length>'], ['Connection: close, Authorization',
    'Content-Length: <length>'], ['Connection: X-Registry-Auth, Host', 'X-Registry-Auth: e30=', 'Content-Length: <length>'],
    ['Proxy-Connection: keep-alive', 'Keep-Alive: timeout=1', 'Content-Length: <length>'], ['Connection: Transfer-Encoding',
    'Content-Length: <length>'], ['Connection: X-Gantry-Cluster', 'X-Gantry-Cluster: other', 'Content-Length: <length>']]),
};
