import { existsSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Touched by a worker while it can work. Its folder is made by the image; where it is missing, no heartbeat is kept. */
export const heartbeatFile = '/run/gantry/worker-alive';
/** The same of a process that is the engine gateway. */
export const gatewayHeartbeatFile = '/run/gantry/gateway-alive';
const everySeconds = 5;
/** Three beats, and the time that a busy machine may add. */
const staleSeconds = 20;

/**
 * Touches `heartbeatFile` every 5 s, as long as the event loop turns and `ping` (the database) answers; a worker that hangs lets the file
 * grow old. @returns what ends it
 */
export function startHeartbeat(ping: () => Promise<unknown>, onError: (error: unknown) => void, file = heartbeatFile): () => void {
  if (!existsSync(dirname(file))) return () => undefined;
  let busy = false;
  const beat = (): void => {
    if (busy) return;
    busy = true;
    ping()
      .then(() => writeFileSync(file, ''))
      .catch(onError)
      .finally(() => {
        busy = false;
      });
  };
  beat();
  const timer = setInterval(beat, everySeconds * 1000);
  return () => clearInterval(timer);
}

/** What is wrong with the process of this machine that keeps the file, or null when its last beat is fresh. */
export function heartbeatFault(file = heartbeatFile, now = Date.now()): string | null {
  if (!existsSync(file)) return `no process has written ${file}`;
  const seconds = Math.round((now - statSync(file).mtimeMs) / 1000);
  return seconds > staleSeconds ? `the last sign of life is ${seconds} s old` : null;
}
