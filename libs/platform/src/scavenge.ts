import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** As much may be garbage before it is collected. With 16 MiB the marking below is nearly as frequent as without; less than 2 MiB costs more scavenges than it saves. */
const portionBytes = 2 * 1024 * 1024;

type Collect = (options: { type: 'minor' }) => void;

let collect: Collect | null = null;
let passed = 0;
let isPlanned = false;

/**
 * To be told of all bytes that come through the process in streams, as they come. The buffers that they were read into live outside of the
 * JavaScript heap but count against its limit, which a busy connection uses up several times a second; V8 then marks the whole heap, with all
 * its threads. That took half of the CPU of long lists. A scavenge of the youngest objects, now and then, frees the same buffers in about a
 * millisecond.
 *
 * V8 offers no call for it; this is the one that its flag `expose-gc` adds, in a context of its own: nothing else sees it.
 */
export function notePassed(bytes: number): void {
  passed += bytes;
  if (passed < portionBytes || isPlanned) return;
  isPlanned = true;
  // When what is being read now has been handled.
  setImmediate(() => {
    isPlanned = false;
    passed = 0;
    (collect ??= collector())({ type: 'minor' });
  });
}

function collector(): Collect {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as Collect;
  setFlagsFromString('--no-expose-gc');
  return gc;
}
